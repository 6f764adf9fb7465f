"""Frames of a moving picture: what a source yields, and which of them are wanted."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from jax_depth.formats.folders import PHOTO_SUFFIXES, photos_in
from jax_depth.formats.image import as_bytes, read_image

# Frames a second where a source has no times of its own and none is given.
DEFAULT_RATE = Fraction(25)


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip.

    Attributes:
        pixels: uint8 RGB, upright.
        time: seconds since the start that was asked for.
        source: the name of the file it came from, where each frame has its own.
        number: that it has in a numbered sequence; None outside of one.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    time: float
    source: str = ""
    number: int | None = None


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which frames of a source are wanted.

    Attributes:
        start: seconds to pass over.
        rate: frames a second at most; None for all of them. For a source without times,
            a folder, it is the rate at which its frames are shown, and all are taken.
        count: frames at most; None for all.

    Raises:
        ValueError: a negative start, or a rate or count that is not positive.
    """

    start: float = 0.0
    rate: Fraction | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < float("inf"):
            raise ValueError(f"the start {self.start:g} s must be 0 or later")
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"{float(self.rate):g} frames a second must be above 0")
        if self.count is not None and self.count < 1:
            raise ValueError(f"{self.count} frames must be at least 1")

    def rate_from(self, source_rate: Fraction) -> Fraction:
        """Return frames a second of what is taken from a source of so many."""
        return source_rate if self.rate is None else min(self.rate, source_rate)

    def expected(self, frames: float | None, rate: Fraction) -> int | None:
        """Return about how many frames a source of `frames` at `rate` gives."""
        if frames is None:
            return self.count
        left = max(0.0, frames - self.start * float(rate))
        left *= float(self.rate_from(rate) / rate)
        return round(left) if self.count is None else min(round(left), self.count)


class Thinning:
    """Takes the frames nearest to equally spaced times, at most one for each."""

    def __init__(self, rate: Fraction | None, source_rate: Fraction):
        thin = rate is not None and rate < source_rate
        self._step = float(1 / rate) if thin and rate else None
        self._slack = float(1 / source_rate) / 2
        self._due = 0.0

    def takes(self, time: float) -> bool:
        """Say whether the frame at `time`, which only rises, is taken."""
        if self._step is None:
            return True
        if time + self._slack < self._due:
            return False
        # Times missed in a gap stay missed.
        late = max(0, int((time + self._slack - self._due) / self._step))
        self._due += (late + 1) * self._step
        return True


@runtime_checkable
class Source(Protocol):
    """A clip that can be read once.

    Attributes:
        name: what messages call it.
        rate: frames a second, as selected.
        expected: about how many frames will come; None when unknown.
        problems: after iteration, one sentence for everything that was incomplete.
        audio: the stream whose packets are in `packets`; None without.
        packets: (packet, seconds) of audio, in order, as reading meets them.
    """

    name: str
    rate: Fraction
    expected: int | None
    problems: list[str]
    audio: Any
    packets: collections.deque

    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None:
        """Release the file; safe to call twice."""
        ...


class FrameFolder:
    """The pictures of one folder, in the order of their names, as a clip.

    Numbers in names count as numbers, so 9.png comes before 10.png. A picture that
    cannot be read is left out and named in `problems`, and its time stays empty.

    Raises:
        ValueError: the folder holds no picture.
    """

    def __init__(self, folder: str | os.PathLike[str], selection: Selection):
        self.name = os.fspath(folder)
        self.rate = selection.rate or DEFAULT_RATE
        self.audio, self.packets = None, collections.deque()
        found = list(photos_in(Path(folder), recursive=False))
        told = [sentence for _, sentence in found if sentence]
        self.problems = [f"{sentence}; it was left out" for sentence in told]
        paths = sorted(
            (path for path, sentence in found if sentence is None),
            key=lambda path: _natural(path.name),
        )
        if not paths:
            raise ValueError(
                f"the folder '{self.name}' holds no frames (looked for "
                f"{' '.join(sorted(PHOTO_SUFFIXES))})" + "; ".join(["", *told[:1]])
            )
        skipped = round(selection.start * self.rate)
        self._numbers = _numbers(paths)
        self._paths = paths[skipped:][: selection.count]
        if not self._paths:
            raise ValueError(
                f"the folder '{self.name}' has no frame after {selection.start:g} s; "
                f"its {len(paths)} frames last {float(len(paths) / self.rate):g} s"
            )
        self.expected: int | None = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        for k, path in enumerate(self._paths):
            try:
                pixels = read_image(path)
            except (OSError, ValueError) as error:
                self.problems.append(f"{error}; the frame was left out")
                continue
            time, number = float(k / self.rate), self._numbers.get(path)
            yield Frame(as_bytes(pixels), time, path.name, number)

    def close(self) -> None:
        """Nothing is held open."""


def _numbers(paths: list[Path]) -> dict[Path, int]:
    """Return the numbers that end the names of a sequence, nothing for other names.

    A sequence, such as render_0101.png, render_0102.png, gives each its own number.
    """
    found = {path: re.search(r"[0-9]{1,12}$", path.stem) for path in paths}
    numbers = {path: int(match[0]) for path, match in found.items() if match}
    if len(set(numbers.values())) < len(paths):
        return {}
    return numbers


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key under which 9 comes before 10."""
    parts, digits = [], ""
    for character in name + "\0":
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            parts.append((int(digits), ""))
            digits = ""
        parts.append((-1, character))
    return parts
