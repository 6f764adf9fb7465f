"""A user's file to pixels, within the limits."""

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from jax_depth.app.limits import MEBIBYTE, Limits
from jax_depth.app.refusal import Refusal
from jax_depth.formats.image import Pixels, read_image, read_odd_tiff
from jax_depth.formats.tiff_pictures import first_directory, size
from jax_depth.formats.unread import is_heif, is_raw, unread_kind

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
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError:
        return _beyond_pillow(source, limits, name)
    # Where warnings are errors the milder one of the two is raised.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(413, _too_many_pixels(label, "far too many", limits)) from None
    except Exception as error:  # Pillow's parsers raise whatever they stumble on
        raise Refusal(
            422, f"{label} is damaged ({_line(error)}); send it again"
        ) from None
    with image:
        header = _header(source)
        if image.format == "TIFF" and is_raw(Path(name), header):
            raise Refusal(415, f"{label} {unread_kind(Path(name), header)}")
        _check_pixels(image.width, image.height, limits, label)
        try:
            return read_image(image, name=name or "the picture")
        except (ValueError, OSError) as error:
            raise Refusal(422, _line(error)) from None


def _beyond_pillow(source: bytes | Path, limits: Limits, name: str) -> Pixels:
    """Read a TIFF of a kind that Pillow does not know, or say what the file is."""
    label = repr(name) if name else "the body"
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        tags = first_directory(file)
        if not tags or unread_kind(Path(name), _header(source)):
            raise Refusal(415, f"{label} {_what_else(source, name)}")
        _check_pixels(*size(tags), limits, label)
        try:
            return read_odd_tiff(file, tags, label)
        except (ValueError, OSError) as error:
            raise Refusal(422, _line(error)) from None


def _what_else(source: bytes | Path, name: str) -> str:
    """Return what a file of no known format is, and what to send instead."""
    header = _header(source)
    kind = unread_kind(Path(name), header)
    if kind is None or is_heif(header):
        kind = "is a HEIC photo" if kind else "is not a picture of a known format"
        kind += "; send a JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF or PPM"
    return kind


def _header(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source[:32]
    with source.open("rb") as file:
        return file.read(32)


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
