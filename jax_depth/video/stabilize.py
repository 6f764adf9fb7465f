"""A steady range for the depth of a video, one frame at a time and causally.

A relative model leaves scale and shift free, and they jump from frame to frame. Here
each frame gets the scale and shift that bring it closest to the frames before it, and
pictures get a range of values that follows slowly. A cut to another scene starts
afresh.

`step` handles one frame and `stabilize` a whole clip by `lax.scan` over it; both are
pure and give the same numbers. `Stream` is `step` with a memory, for maps of any size.

The fit is symmetric: scale is the ratio of the weighted standard deviations of the past
and of the frame. Least squares would shrink contrast a little with every frame, as
every regression on noisy values does, and a thousand frames would end up grey. Weights
are Cauchy's, found in a few steps, so that moving things count little.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from jax_depth._typing import Array

# Rows and columns at which a frame is looked at, whatever its size. Four times as many
# points cost nearly twice the time and steady nothing more.
GRID = (24, 32)
_BINS = 8  # of a colour histogram


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the past is remembered.

    Attributes:
        align: find scale and shift; without, values stay and only the range follows.
        lags: the earlier frames that the current one is aligned to, counted back.
        steps: of reweighting.
        follow: share of the way that the range shown goes to a frame's own.
        percentiles: of the values of a frame that its range reaches over.
        margin: added to that range at both ends, as a share of it.
        cut_colors, cut_agreement: a cut has depth that correlates with the last frame's
            by less than `cut_agreement`, and more than `cut_colors` times that
            correlation (at least 0.5) of the colours changed: the less depths agree,
            the less have colours to change.
    """

    align: bool = True
    lags: tuple[int, ...] = (1, 4, 8)
    steps: int = 4
    follow: float = 0.04
    percentiles: tuple[float, float] = (1.0, 99.0)
    margin: float = 0.05
    cut_colors: float = 0.35
    cut_agreement: float = 0.9


DEFAULT = Settings()


class State(NamedTuple):
    """What is remembered of the past.

    Attributes:
        past: aligned maps on the grid, the latest first.
        middle: 10th, 50th and 90th percentile of the latest of them.
        scale, shift: of the last frame.
        colors: histogram of the last frame.
        low, high: the range shown.
        frames: seen since the last cut.
    """

    past: Float[Array, "k h w"]
    middle: Float[Array, "3"]
    scale: Float[Array, ""]
    shift: Float[Array, ""]
    colors: Float[Array, "3 bins"]
    low: Float[Array, ""]
    high: Float[Array, ""]
    frames: Float[Array, ""]


class Placement(NamedTuple):
    """Where a frame's values lie: aligned = scale * value + shift.

    Attributes:
        scale, shift: of the frame's values.
        low, high: the range shown, in aligned values.
        cut: whether another scene begins with this frame.
    """

    scale: Float[Array, "*t"]
    shift: Float[Array, "*t"]
    low: Float[Array, "*t"]
    high: Float[Array, "*t"]
    cut: Bool[Array, "*t"]


@dataclasses.dataclass(frozen=True)
class FrameRange:
    """A `Placement` of one frame in plain numbers; by default nothing is done to it.

    Attributes:
        scale, shift: aligned = scale * value + shift.
        low, high: the range to show, in aligned values; None for the frame's own.
        cut: whether another scene begins with this frame.
    """

    scale: float = 1.0
    shift: float = 0.0
    low: float | None = None
    high: float | None = None
    cut: bool = False

    def aligned(self, values: Float32[np.ndarray, "h w"]) -> np.ndarray:
        """Return values with scale and shift applied, which may do nothing."""
        if (self.scale, self.shift) == (1.0, 0.0):
            return values
        return np.float32(self.scale) * values + np.float32(self.shift)


def initial_state(settings: Settings = DEFAULT) -> State:
    """Return the state before the first frame."""
    zero = jnp.zeros((), jnp.float32)
    past = jnp.zeros((max(settings.lags), *GRID), jnp.float32)
    return State(
        past=past,
        middle=jnp.zeros(3, jnp.float32),
        scale=jnp.ones((), jnp.float32),
        shift=zero,
        colors=jnp.zeros((3, _BINS), jnp.float32),
        low=zero,
        high=zero,
        frames=zero,
    )


def step(
    state: State,
    depth: Float[Array, "h w"],
    picture: UInt8[Array, "h w 3"],
    settings: Settings = DEFAULT,
) -> tuple[State, Placement]:
    """Place one frame; pure and jittable with `settings` static.

    Args:
        state: from the frame before, or `initial_state`.
        depth: float32 values on the grid, see `on_grid`; finite.
        picture: uint8 RGB at the same points.
        settings: how.

    Returns:
        The state for the next frame, and this frame's placement. The first frame, and
        the first after a cut, keeps its own values: scale 1, shift 0.
    """
    ordered = jnp.sort(depth.ravel())
    own = _range_of(ordered, settings)
    middle = ordered[(np.array([0.1, 0.5, 0.9]) * ordered.size).astype(int)]
    # A constant map, such as a black frame, says nothing and is skipped.
    flat = ordered[-1] - ordered[0] <= jnp.float32(1e-6) * jnp.abs(ordered).max()
    colors = _histogram(picture)
    first = state.frames == 0
    changed = jnp.abs(colors - state.colors).sum(-1).mean() / 2
    agreement = _correlation(depth, state.past[0])
    cut = changed > settings.cut_colors * jnp.clip(agreement, 0.5, 1)
    cut &= (agreement < settings.cut_agreement) & ~first & ~flat
    fresh = first | cut
    scale, shift = jnp.float32(1), jnp.float32(0)
    if settings.align:
        scale, shift = _fit(depth, middle, state, settings)
        keep = fresh | flat
        scale = jnp.where(keep, jnp.float32(1), scale)
        shift = jnp.where(keep, jnp.float32(0), shift)
    aligned = scale * depth + shift
    past = jnp.concatenate([aligned[None], state.past[:-1]])
    past = jnp.where(flat & ~fresh, state.past, past)
    # Nothing older is known yet: the first frame stands in for all before it.
    past = jnp.where(fresh, jnp.broadcast_to(aligned, past.shape), past)
    low, high = (scale * end + shift for end in own)
    rate = jnp.where(fresh, jnp.float32(1), jnp.float32(settings.follow))
    rate = jnp.where(flat & ~fresh, jnp.float32(0), rate)
    low = state.low + rate * (low - state.low)
    high = state.high + rate * (high - state.high)
    frames = jnp.where(cut, jnp.float32(1), state.frames + 1)
    middle = jnp.where(flat & ~fresh, state.middle, scale * middle + shift)
    return (
        State(past, middle, scale, shift, colors, low, high, frames),
        Placement(scale, shift, low, high, cut),
    )


@functools.partial(jax.jit, static_argnames="settings")
def stabilize(
    depths: Float[Array, "t h w"],
    pictures: UInt8[Array, "t h w 3"],
    settings: Settings = DEFAULT,
) -> Placement:
    """Place every frame of a clip, each by those before it alone.

    Args:
        depths: float32, on the grid of `on_grid`.
        pictures: uint8 RGB at the same points.
        settings: how.

    Returns:
        Placements with a leading axis of frames, the numbers that `step` gives one
        after the other.
    """

    def one(state, frame):
        depth, picture = frame
        return step(state, depth, picture, settings)

    return jax.lax.scan(one, initial_state(settings), (depths, pictures))[1]


def on_grid(values: np.ndarray) -> np.ndarray:
    """Return (h, w, ...) values at the points of the grid, without interpolation."""
    rows, columns = (
        ((np.arange(points) + 0.5) * length / points).astype(np.intp)
        for points, length in zip(GRID, values.shape[:2], strict=True)
    )
    return values[rows[:, None], columns]


class Stream:
    """Places frames of any size one by one, as they come."""

    def __init__(self, settings: Settings = DEFAULT):
        # On the host, even where the network runs elsewhere: a handful of small sums
        # must not queue behind the next batch.
        self._host = jax.local_devices(backend="cpu")[0]
        self._step = jax.jit(functools.partial(_numbered_step, settings=settings))
        self._initial = jax.device_put(initial_state(settings), self._host)
        self._state = self._initial
        self._shape: tuple[int, ...] | None = None

    def place(
        self,
        depth: Float32[np.ndarray, "h w"],
        picture: UInt8[np.ndarray, "h2 w2 3"],
    ) -> FrameRange:
        """Return where the next frame's values lie.

        Args:
            depth: values of the map, of any size; may be the network's own.
            picture: the frame; a change of its size counts as a cut.

        Raises:
            ValueError: depth is not finite.
        """
        points = on_grid(depth)
        if not np.isfinite(points).all():
            raise ValueError("the depth of a frame is NaN or infinite")
        moved = self._shape not in (None, picture.shape)
        if moved:
            self._state = self._initial
        self._shape = picture.shape
        inputs = jax.device_put((points, on_grid(picture)), self._host)
        self._state, numbers = self._step(self._state, *inputs)
        scale, shift, low, high, cut = np.asarray(numbers).tolist()
        return FrameRange(scale, shift, low, high, bool(cut) or moved)


def _numbered_step(state, depth, picture, settings):
    """Return `step` with its placement as one vector: one transfer, not five."""
    state, placed = step(state, depth, picture, settings)
    numbers = jnp.stack([*placed[:4], placed.cut.astype(jnp.float32)])
    return state, numbers


def _range_of(ordered, settings: Settings):
    """Return the ends of the range of values that were sorted."""
    last = ordered.size - 1
    low, high = (ordered[round(last * p / 100)] for p in settings.percentiles)
    margin = jnp.float32(settings.margin) * (high - low)
    return low - margin, high + margin


def _fit(x, middle, state: State, settings: Settings):
    """Return scale and shift that bring `x` to the past, robustly."""
    refs = state.past[np.array(settings.lags) - 1]
    x = jnp.broadcast_to(x, refs.shape)
    tiny = jnp.float32(1e-12)

    def error(scale, shift):
        return jnp.abs(refs - (scale * x + shift))

    # Two guesses: nothing changed since the last frame, or its percentiles stayed.
    guess = (state.middle[2] - state.middle[0]) / jnp.maximum(
        middle[2] - middle[0], tiny
    )
    scales = jnp.stack([state.scale, guess])
    shifts = jnp.stack([state.shift, state.middle[1] - guess * middle[1]])
    losses = [jnp.sqrt(error(scales[k], shifts[k])).mean() for k in range(2)]
    better = jnp.argmin(jnp.stack(losses))
    scale, shift = scales[better], shifts[better]
    weight = jnp.full(x.shape, 1 / x.size, jnp.float32)
    for _ in range(settings.steps):
        errors = error(scale, shift)
        # The weighted mean shrinks to the errors of what stays, without outliers.
        unit = jnp.maximum((weight * errors).sum(), tiny * 1e3)
        weight = 1 / jnp.square(1 + jnp.square(errors / (2 * unit)))
        weight = weight / weight.sum()
        mean_x, mean_y = (weight * x).sum(), (weight * refs).sum()
        var_x = (weight * jnp.square(x - mean_x)).sum()
        var_y = (weight * jnp.square(refs - mean_y)).sum()
        scale = jnp.sqrt(var_y / jnp.maximum(var_x, tiny))
        shift = mean_y - scale * mean_x
    return scale, shift


def _histogram(picture):
    """Return the share of the points in each bin of each channel."""
    bins = (picture // np.uint8(256 // _BINS)).astype(jnp.int32)
    counts = bins.reshape(-1, 3)[..., None] == jnp.arange(_BINS)[None, None]
    return counts.mean(0, dtype=jnp.float32)


def _correlation(x, y):
    x, y = x - x.mean(), y - y.mean()
    norm = jnp.sqrt(jnp.square(x).sum() * jnp.square(y).sum())
    return (x * y).sum() / jnp.maximum(norm, jnp.float32(1e-20))
