"""Animated WebP and AVIF as clips, read by Pillow: FFmpeg decodes no animated WebP."""

import collections
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from jax_depth.formats.image import as_bytes, read_image
from jax_depth.video.frames import DEFAULT_RATE, Frame, Selection, Thinning

# What browsers take a delay for that is missing or below a hundredth of a second.
_NO_DELAY = 100


def is_animation(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes whether a file is a WebP or a sequence of AVIF."""
    try:
        if not Path(path).is_file():
            return False
        with open(path, "rb") as file:
            header = file.read(12)
    except OSError:
        return False
    return header[8:12] == b"WEBP" or header[4:12] == b"ftypavis"


class Animation:
    """The frames of an animated picture, each at its own time.

    A frame that cannot be decoded ends the clip and is named in `problems`.

    Raises:
        OSError, ValueError: the file cannot be opened, or holds a single picture.
    """

    def __init__(self, path: str | os.PathLike[str], selection: Selection):
        self.name = os.fspath(path)
        self.problems: list[str] = []
        self.audio: Any = None
        self.packets: collections.deque = collections.deque()
        self._selection = selection
        try:
            self._image = Image.open(path)
            count = getattr(self._image, "n_frames", 1)
        except Exception as error:
            raise OSError(
                f"'{self.name}' cannot be read as an animation ({error}); check that "
                "it is a whole file"
            ) from None
        if count == 1:
            self._image.close()
            raise ValueError(
                f"'{self.name}' is a single picture; `jax-depth predict` takes it"
            )
        self._source_rate = self._rate()
        self.rate = selection.rate_from(self._source_rate)
        self.expected = selection.expected(float(count), self._source_rate)

    def __iter__(self) -> Iterator[Frame]:
        time, given = -self._selection.start, 0
        thinning = Thinning(self._selection.rate, self._source_rate)
        frames = ImageSequence.Iterator(self._image)
        while given != self._selection.count:
            try:
                image = next(frames, None)
                pixels = None if image is None else read_image(image, name=self.name)
            except Exception as error:
                self.problems.append(f"{error}; what comes after it is left out")
                return
            if image is None or pixels is None:
                break
            if time > -0.5 / self._source_rate and thinning.takes(time):
                given += 1
                yield Frame(as_bytes(pixels), max(time, 0.0))
            time += self._delay(image) / 1000
        if given == 0:
            self.problems.append(
                f"'{self.name}' has no frame after {self._selection.start:g} s"
            )

    def _rate(self) -> Fraction:
        """Return the rate of the first frame: all would have to be decoded twice."""
        try:
            self._image.load()
        except Exception:
            return DEFAULT_RATE  # reading will say what is wrong
        return Fraction(1000, round(self._delay(self._image)))

    def _delay(self, image: Image.Image) -> float:
        delay = image.info.get("duration") or 0
        return delay if delay >= 10 else _NO_DELAY

    def close(self) -> None:
        """Close the file."""
        self._image.close()
