"""The camera of a photo: stated, from its EXIF data, or a stated assumption."""

import math
import os
from typing import Any

from PIL import ExifTags, Image

from jax_depth.camera import Intrinsics

# Assumed across the longer side where nothing is known: between a phone's main camera
# (about 67) and the 50 mm lens of a full-frame camera (40).
DEFAULT_VIEW = 60.0

# Diagonal of the 36 x 24 mm frame that "35 mm equivalent" refers to: CIPA DCG-001.
_FULL_FRAME_DIAGONAL = math.hypot(36, 24)
# EXIF unit of the focal plane resolution -> millimetres.
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
# Sides may differ by a few pixels of a raw converter's border, not by a crop.
_SAME_ASPECT = 0.02


def camera_from_focal(
    shape: tuple[int, int],
    fx: float,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
) -> Intrinsics:
    """Return the pinhole camera of a focal length in pixels.

    Args:
        shape: height and width of the photo in pixels.
        fx: focal length in pixels of this photo.
        fy: likewise, along columns; `fx` when None.
        cx, cy: principal point, (0, 0) being the centre of the first pixel; the middle
            of the photo when None.

    Raises:
        ValueError: a focal length that is not a positive number, or a principal point
            that is not a number.
    """
    height, width = shape
    fy = fx if fy is None else fy
    cx = (width - 1) / 2 if cx is None else cx
    cy = (height - 1) / 2 if cy is None else cy
    if not (0 < fx < math.inf and 0 < fy < math.inf):
        raise ValueError(f"focal length {fx:g}, {fy:g} must be pixels above 0")
    if not (math.isfinite(cx) and math.isfinite(cy)):
        raise ValueError(f"principal point {cx:g}, {cy:g} must be pixels")
    return Intrinsics(float(fx), float(fy), float(cx), float(cy))


def camera_from_view(shape: tuple[int, int], degrees: float) -> Intrinsics:
    """Return the pinhole camera that sees `degrees` across the photo's longer side.

    Raises:
        ValueError: not an angle between 0 and 180 degrees.
    """
    if not 0 < degrees < 180:
        raise ValueError(f"a field of view of {degrees:g} degrees is not in (0, 180)")
    return camera_from_focal(
        shape, max(shape) / 2 / math.tan(math.radians(degrees) / 2)
    )


def find_camera(
    photo: str | os.PathLike | Image.Image | None, shape: tuple[int, int]
) -> tuple[Intrinsics, str]:
    """Return the camera that a photo's EXIF data describe, or a stated assumption.

    In this order: the focal length equivalent to 35 mm film, by the diagonal; the
    focal length in millimetres with the resolution of the focal plane; 60 degrees
    across the longer side. EXIF data of a photo that has been cropped (its aspect ratio
    differs from what the data say) are not used.

    Args:
        photo: a file, an image of Pillow, or None for a picture without either.
        shape: height and width of the upright photo in pixels.

    Returns:
        The camera, and in a few words where it comes from; an assumption starts with
        "assumed".
    """
    try:
        focal, words = _exif_focal(photo, shape)
    except Exception as error:  # Pillow parses EXIF without checks of its own
        focal, words = None, f"unreadable EXIF data: {type(error).__name__}"
    if focal is not None:
        return camera_from_focal(shape, *focal), words
    assumed = f"assumed {DEFAULT_VIEW:g} degrees across the longer side ({words})"
    return camera_from_view(shape, DEFAULT_VIEW), assumed


def is_stated(source: str) -> bool:
    """Tell whether the words of `find_camera` name more than an assumption."""
    return not source.startswith("assumed")


def _exif_focal(photo: Any, shape) -> tuple[tuple[float, float] | None, str]:
    """Return (fx, fy) in pixels or None, and where they are from or why not."""
    if photo is None:
        return None, "no EXIF data"
    if isinstance(photo, Image.Image):
        exif = photo.getexif()
    else:
        with Image.open(photo) as image:
            exif = image.getexif()
    tags, base = exif.get_ifd(ExifTags.IFD.Exif), ExifTags.Base
    stored = _number(tags, base.ExifImageWidth), _number(tags, base.ExifImageHeight)
    turned = exif.get(base.Orientation, 1) in (5, 6, 7, 8)
    height, width = shape[::-1] if turned else shape
    if all(stored) and abs(stored[0] * height / (stored[1] * width) - 1) > _SAME_ASPECT:
        # Turned on disk by a program that left the sizes as they were.
        if abs(stored[1] * height / (stored[0] * width) - 1) > _SAME_ASPECT:
            return None, "its EXIF data are those of a picture that has been cropped"
        stored, turned = stored[::-1], not turned
    if equivalent := _number(tags, base.FocalLengthIn35mmFilm):
        focal = equivalent / _FULL_FRAME_DIAGONAL * math.hypot(height, width)
        return (focal, focal), f"EXIF: {equivalent:g} mm, equivalent to 35 mm film"
    return _physical_focal(tags, stored, (height, width), turned)


def _physical_focal(tags, stored, size, turned):
    base = ExifTags.Base
    length = _number(tags, base.FocalLength)
    per_unit = [
        _number(tags, tag) for tag in (base.FocalPlaneXResolution, _FOCAL_PLANE_Y)
    ]
    unit = _MILLIMETRES.get(int(_number(tags, base.FocalPlaneResolutionUnit) or 2))
    if not (length and all(per_unit) and unit):
        return None, "no focal length in its EXIF data"
    # The resolution counts pixels of the stored picture; this one may be smaller.
    shrunk = size[1] / stored[0] if all(stored) else 1.0
    fx, fy = (length * number / unit * shrunk for number in per_unit)
    focal = (fy, fx) if turned else (fx, fy)
    return focal, f"EXIF: {length:g} mm on a sensor of known resolution"


_FOCAL_PLANE_Y = ExifTags.Base.FocalPlaneYResolution


def _number(tags: Any, tag: int) -> float:
    """Return a tag's value as a positive number; 0 where there is none."""
    try:
        value = float(tags.get(tag, 0))
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if 0 < value < math.inf else 0.0
