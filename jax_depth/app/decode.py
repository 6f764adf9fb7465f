"""A user's file to pixels, within the limits."""

import io
from pathlib import Path

from PIL import Image

from jax_depth.app.limits import MEBIBYTE, Limits
from jax_depth.app.messages import Refusal
from jax_depth.formats.image import Pixels, read_odd_tiff, read_opened
from jax_depth.formats.opening import UnreadKind, open_picture
from jax_depth.formats.tiff_pictures import File, first_directory, size
from jax_depth.formats.unread import is_heif

# Of the formats Pillow knows, those of photos. Others run foreign programs (EPS starts
# Ghostscript) or are too rarely tested to meet a stranger's bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
Image.init()  # or `formats` may only name those that Pillow has met already


def decode(source: bytes | Path, limits: Limits, name: str = "") -> Pixels:
    """Return the pixels of a picture that a stranger sent.

    Args:
        source: the file, or its bytes.
        limits: the size of the file is checked before it is opened, the number of
            pixels before they are decoded.
        name: what sentences call the picture.

    Returns:
        (h, w, 3) RGB as `read_image` gives it, upright.

    Raises:
        Refusal: 413 too many bytes or pixels, 415 no picture of a known format, 422
            empty, damaged, or pixels of a kind that is not accepted.
    """
    label = repr(name) if name else "the picture"
    count = len(source) if isinstance(source, bytes) else source.stat().st_size
    check_bytes(count, limits, label)
    if count == 0:
        raise Refusal(422, f"{label} is empty (0 bytes); send a photo")
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        try:
            image = open_picture(file, Path(name), label, FORMATS)
        except UnreadKind as error:
            what = label if name else "the body"
            raise Refusal(415, _what_else(file, what, error)) from None
        except ValueError:
            words = _too_many_pixels(label, "far too many", limits)
            raise Refusal(413, words) from None
        except OSError as error:
            raise Refusal(422, _line(error)) from None
        try:
            if image is not None:
                with image:
                    _check_pixels(image.width, image.height, limits, label)
                    return read_opened(image, label)
            tags = first_directory(file) or {}
            _check_pixels(*size(tags), limits, label)
            return read_odd_tiff(file, tags, label)
        except (ValueError, OSError) as error:
            raise Refusal(422, _line(error)) from None


def _what_else(file: File, label: str, error: UnreadKind) -> str:
    """Return what a file of no known format is, and what to send instead."""
    file.seek(0)
    if is_heif(file.read(32)):
        kind = "is a HEIC photo"
    elif error.known:
        return _line(error)
    else:
        kind = "is not a picture of a known format"
    return f"{label} {kind}; send a JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF or PPM"


def check_bytes(size: int, limits: Limits, label: str = "the picture") -> None:
    """Raise a Refusal for a file that is too large."""
    if size > limits.upload_bytes:
        raise Refusal(
            413,
            f"{label} has more than {limits.upload_bytes / MEBIBYTE:g} MiB, the most "
            "this server takes; send a smaller file",
        )


def _check_pixels(width: int, height: int, limits: Limits, label: str) -> None:
    if width * height > limits.pixels:
        raise Refusal(413, _too_many_pixels(label, f"{width} x {height}", limits))


def _too_many_pixels(label: str, size: str, limits: Limits) -> str:
    return (
        f"{label} has {size} pixels, more than the {limits.pixels / 1e6:g} million "
        "this server takes; shrink it"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
