"""A clip in windows: which frames a network sees together, on one scale.

Video Depth Anything sees 32 frames at once. Its authors cut a clip so that each window
begins with ten frames of the one before (`video_depth_anything/video_depth.py`,
`infer_video_depth`, and `utils/util.py`):

    window 0        0 .. 31
    window 1        0, 12, 24 .. 31, 32 .. 53
    window 2        0, 34, 46 .. 53, 54 .. 75

Scale and shift of a window are fitted by least squares to the two frames it begins
with, and eight frames are cross-faded. Arrays in, arrays out; of a clip's length only
one window is in memory.
"""

import itertools
from collections.abc import Generator, Iterable, Iterator
from typing import Literal, TypeVar, get_args

import numpy as np
from jaxtyping import Float32

from jax_depth.alignment import fit

Stitch = Literal["steady", "exact"]
Frame = TypeVar("Frame")

LENGTH = 32
OVERLAP = 10
STEP = LENGTH - OVERLAP
# Where in a window its successor's first frames lie.
KEYS = (0, 12, *range(24, 32))
FADE = 8
# Below this share of a window's deviation its two first maps are flat: what differs
# in them does not measure scale.
_FLAT = 0.15
# Below this share of its mean nothing in a map is more than rounding and noise.
_NOISE = 1e-3
# Below this correlation two maps are not of one scene.
_ALIKE = 0.3


def windows(frames: Iterable[Frame]) -> Generator[tuple[list[Frame], int]]:
    """Cut a clip into windows as it is read.

    Args:
        frames: of one clip; anything, one at a time is read.

    Yields:
        The 32 frames of a window, and how many of the last 22 (32 in the first) are of
        the clip; the others repeat its last. A clip of n frames has ceil(n / 22).
    """
    source = iter(frames)
    window = list(itertools.islice(source, LENGTH))
    if not window:
        return
    count, read = len(window), len(window)
    start = 0
    while True:
        window += [window[-1]] * (LENGTH - len(window))
        yield window, count
        start += STEP
        if read <= start:
            return
        fresh = list(itertools.islice(source, STEP)) if read == start + OVERLAP else []
        count = len(fresh)
        read += count
        last = fresh[-1] if fresh else window[-1]
        window = [window[key] for key in KEYS] + fresh
        window += [last] * (LENGTH - len(window))


class Stitcher:
    """Brings the windows of one clip to one scale, in order."""

    def __init__(self, stitch: Stitch = "steady", align: bool = True):
        """Begin a clip.

        Args:
            stitch: "exact" is the authors' own. If a clip begins black or blank, it
                makes everything after that flat, because the frames that it fits to
                have no variation. "steady" fits such a window to the frames that it
                shares with the one before, and is otherwise identical.
            align: whether scale and shift are free; False for metres.

        Raises:
            ValueError: an unknown `stitch`.
        """
        check_stitch(stitch)
        self._steady, self._align = stitch == "steady", align
        self._first: np.ndarray | None = None
        self._key: np.ndarray | None = None
        self._held: list[np.ndarray] = []
        self._fit = (1.0, 0.0)
        self._spread = 0.0

    def add(
        self, maps: list[Float32[np.ndarray, "h w"]]
    ) -> list[Float32[np.ndarray, "h w"]]:
        """Add a window's 32 maps; return the maps that are now final.

        Args:
            maps: at the size of the frames; sums and the cut at 0 are made there.
        """
        # Of what the network gave, before it is moved.
        spread = _spread(maps) if self._steady and self._align else 0.0
        if self._first is None or self._key is None:
            stitched = list(maps)
            self._first = maps[0]
        else:
            if self._align:
                self._fit = self._fitted(maps, [self._first, self._key], spread)
            scale, shift = self._fit
            moved = [
                np.maximum(np.float32(scale) * x + np.float32(shift), np.float32(0))
                for x in maps
            ]
            # np.linspace(0, 1, 8): the first of them is old, the last is new.
            share = np.linspace(0, 1, FADE, dtype=np.float32)
            faded = [
                (1 - w) * old + w * new
                for w, old, new in zip(share, self._held, moved[2:OVERLAP], strict=True)
            ]
            stitched = faded + moved[OVERLAP:]
            maps = moved
        self._key = maps[KEYS[1]]
        self._spread = spread
        self._held = stitched[-FADE:]
        return stitched[:-FADE]

    def finish(self) -> list[Float32[np.ndarray, "h w"]]:
        """Return the remaining maps at the end of the clip."""
        held, self._held = self._held, []
        return held

    def _fitted(self, maps, wanted, spread: float) -> tuple[float, float]:
        """Return scale and shift of a window whose maps have that spread."""
        if not self._steady or not _flat(maps[:2], wanted, spread):
            return least_squares(maps[:2], wanted)
        shared = maps[2:OVERLAP]
        if not _flat(shared, self._held, spread):
            return least_squares(shared, self._held)
        # Nothing in common: as the window before, if that had anything to be fitted by.
        return self._fit if self._spread > _FLAT * spread else (1.0, 0.0)


def stitched(
    maps_of: Iterator[tuple[list[Float32[np.ndarray, "h w"]], int]],
    stitch: Stitch = "steady",
    align: bool = True,
) -> Generator[Float32[np.ndarray, "h w"]]:
    """Yield the maps of a clip's own frames from those of its windows.

    Args:
        maps_of: what `windows` yields, with maps in the place of frames.
        stitch, align: see `Stitcher`.
    """
    stitcher = Stitcher(stitch, align)
    left = 0
    for maps, count in maps_of:
        left += count
        for depth in stitcher.add(maps)[: max(left, 0)]:
            left -= 1
            yield depth
    yield from stitcher.finish()[: max(left, 0)]


def check_stitch(stitch: str) -> None:
    """Raise ValueError for an unknown way of stitching."""
    if stitch not in get_args(Stitch):
        raise ValueError(
            f"stitch {stitch!r} is unknown; use {' or '.join(get_args(Stitch))}"
        )


def least_squares(x: list[np.ndarray], y: list[np.ndarray]) -> tuple[float, float]:
    """Return the scale and the shift that bring `x` nearest to `y`.

    (1, 0) where `x` is constant, as upstream (`compute_scale_and_shift`).
    """
    one, other = (np.concatenate([a.ravel() for a in maps]) for maps in (x, y))
    if one.min() == one.max():
        return 1.0, 0.0
    return fit(one, other, "scale_shift")


def _flat(x: list[np.ndarray], y: list[np.ndarray], spread: float) -> bool:
    """Whether `x`, of a window of that spread, or `y` say too little of scale."""
    x_mean, y_mean = _mean(x), _mean(y)
    x_spread, y_spread = _spread(x), _spread(y)
    if x_spread <= max(_FLAT * spread, _NOISE * abs(x_mean)):
        return True
    if y_spread <= _NOISE * abs(y_mean):
        return True
    product = np.mean(
        [((a - x_mean) * (b - y_mean)).mean() for a, b in zip(x, y, strict=True)]
    )
    return bool(product < _ALIKE * x_spread * y_spread)


def _mean(maps: list[np.ndarray]) -> np.float64:
    return np.float64(np.mean([a.mean(dtype=np.float64) for a in maps]))


def _spread(maps: list[np.ndarray]) -> float:
    """Return the standard deviation of all values, sums in float64."""
    mean = _mean(maps)  # float64, and so are the differences
    return float(np.sqrt(np.mean([np.square(a - mean).mean() for a in maps])))
