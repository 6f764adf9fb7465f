"""JPEGs decoded smaller than they are stored: at a half, a quarter or an eighth.

libjpeg reconstructs its blocks of 8 x 8 pixels at 4, 2 or 1 pixels a side from the low
frequencies alone, which skips most of the work. It is not what shrinking the decoded
picture gives, so nothing does it unasked.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from PIL import ExifTags, Image

from jax_depth.formats.image import Pixels, label_of, read_image


@dataclasses.dataclass(frozen=True, eq=False)
class Reduced:
    """A picture with fewer pixels than its file has.

    Attributes:
        pixels: (h, w, 3) as `read_image` gives them.
        shape: height and width of the picture in the file, upright.
        label: what error messages call it.
    """

    pixels: Pixels
    shape: tuple[int, int]
    label: str


Read: TypeAlias = "Pixels | Reduced"


def read_reduced(
    source: Any,
    enough: Callable[[int, int], tuple[int, int]],
    *,
    name: str | None = None,
) -> Read:
    """Read a picture; a JPEG file at the least scale of libjpeg that is enough.

    Args:
        source: as in `read_image`. Only files are reduced, and JPEG (MPO too) alone.
        enough: height and width of the picture, upright -> rows and columns that are
            needed of it; a ValueError of it leaves the picture whole.
        name: as in `read_image`.

    Returns:
        A `Reduced` whose pixels are at least as many as are needed, along both sides;
        or the whole picture, where it has less than twice as many.

    Raises:
        OSError, ValueError, TypeError: as `read_image`.
    """
    if not isinstance(source, str | os.PathLike):
        return read_image(source, name=name)
    full: list[tuple[int, int]] = []

    def opened(image: Image.Image) -> None:
        if image.format not in ("JPEG", "MPO"):
            return
        turned = _turned(image)
        height, width = image.height, image.width
        if turned:
            height, width = width, height
        full.append((height, width))
        try:
            rows, columns = enough(height, width)
        except ValueError:  # said again, with the picture's name, when it is resized
            return
        # Pillow wants (width, height) of the picture as stored.
        image.draft(None, (rows, columns) if turned else (columns, rows))

    pixels = read_image(source, name=name, opened=opened)
    # A file without its end is decoded again, at its full size.
    if not full or pixels.shape[:2] == full[0]:
        return pixels
    return Reduced(pixels, full[0], label_of(Path(source), name))


def shape_of(picture: Read) -> tuple[int, int]:
    """Return height and width of a picture in its file."""
    if isinstance(picture, Reduced):
        return picture.shape
    return picture.shape[0], picture.shape[1]


def _turned(image: Image.Image) -> bool:
    """Whether the upright picture's rows are stored as columns."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # damaged, of which `read_image` warns: it is not turned
        return False
