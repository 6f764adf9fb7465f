"""Any picture to an RGB array: files, Pillow images, NumPy and JAX arrays.

Files are read as the original Depth Anything reads them, with `cv2.imread` and its
default flags, wherever that is a choice: alpha is dropped, not composited over a
background (colours that a TIFF stores multiplied by it are divided by it); embedded ICC
profiles, Display P3 too, are ignored; the EXIF orientation is applied.
Two things differ: 16-bit grayscale keeps its precision, where cv2 keeps the high
byte (16-bit colour files lose their low byte in Pillow as they do in cv2), and a CMYK
JPEG is up to one grey level off cv2, whose conversion rounds otherwise.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from jax_depth.formats.cut_jpeg import whole_jpeg
from jax_depth.formats.opening import decoding_error, open_picture
from jax_depth.formats.tiff_pictures import (
    File,
    Tags,
    first_directory,
    is_camera_raw,
    largest,
    needs_tifffile,
    not_the_photo,
    orientation,
    read_tiff_picture,
    tags_of,
)
from jax_depth.formats.unread import CAMERA_RAW, kind_of_open_jpeg

Pixels: TypeAlias = UInt8[np.ndarray, "h w 3"] | Float32[np.ndarray, "h w 3"]

# How far float pixels may stray out of [0, 1] before they are taken for another
# scale: room for the rounding of bfloat16 and float16 arithmetic.
RANGE_TOLERANCE = 1e-3

# Pillow modes of 8 bits per channel or fewer that Pillow converts to RGB.
_BYTE_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX")
_BYTE_MODES += ("CMYK", "YCbCr", "HSV")
# Pillow gives these formats' 16-bit grayscale as 32-bit integers.
_WIDE_FORMATS = ("PNG", "PPM")

# EXIF orientation -> the upright array; 1 is upright already.
_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}

# How every sentence about arrays calls the order of their channels.
RGB = "RGB (OpenCV's BGR is image[..., ::-1])"


def read_image(
    source: Any,
    *,
    name: str | None = None,
    upright: bool = True,
    opened: Callable[[Image.Image], None] | None = None,
) -> Pixels:
    """Read a picture as an RGB array.

    Args:
        source: one of
            - a path (str or path-like) of any format Pillow reads. The EXIF
              orientation is applied, so height and width are those one sees.
            - a `PIL.Image.Image` of any of those modes, its EXIF orientation
              applied too; the current frame of an animation.
            - an array, NumPy or convertible to it (JAX), of shape (h, w),
              (h, w, 1), (h, w, 3) or (h, w, 4), RGB or RGBA: uint8 in [0, 255],
              uint16 in [0, 65535], bool, or floating in [0, 1]. OpenCV's are BGR,
              which nothing in them tells: give `image[..., ::-1]`.
        name: what error messages call the picture; the path by default.
        upright: apply the EXIF orientation.
        opened: called with a file's image before it is decoded, see `reduced`.

    Returns:
        (h, w, 3) RGB. uint8 in [0, 255], or float32 in [0, 1] where the source has
        more than 8 bits per channel (uint16 divided by 65535). Grayscale is
        repeated, alpha dropped. An array may share memory with the source.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file cannot be opened, is empty, damaged, truncated, or not a
            picture Pillow reads.
        ValueError: the values or the shape are outside the ones above, or the file
            announces more pixels than Pillow's guard against decompression bombs
            allows (`PIL.Image.MAX_IMAGE_PIXELS`, twice).
        TypeError: `source` is something else altogether.

    Warns:
        UserWarning: a file is animated or has several pages: the first is read; or
            its EXIF data are damaged: it is read without rotation.
    """
    label = label_of(source, name)
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source), label, upright, opened)
    if isinstance(source, Image.Image):
        _refuse_raw(source, label)
        return read_opened(source, label, upright)
    if hasattr(source, "__array__"):
        return _read_array(np.asarray(source), label)
    raise TypeError(
        f"{label} is a {type(source).__name__}; give a path, a PIL image or an "
        f"array (h, w, 3), {RGB}"
    )


def check_source(source: Any) -> None:
    """Raise what can be said about a file without reading its contents.

    Costs microseconds, so that a list of files can be checked before the first is
    computed on. Other sources than paths pass.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError, OSError: see
            `read_image`.
    """
    if isinstance(source, str | os.PathLike):
        _check_file(Path(source), label_of(source))


def as_bytes(pixels: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    """Return uint8 RGB of a picture as `read_image` gives it, rounded where float."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def label_of(source: Any, name: str | None = None) -> str:
    """Return what error messages call a picture: its quoted name, or "image"."""
    if name is None and isinstance(source, str | os.PathLike):
        name = os.fspath(source)
    if name is None and isinstance(source, Image.Image):
        name = getattr(source, "filename", None)
    return repr(os.fspath(name)) if name else "image"


def _read_file(
    path: Path,
    label: str,
    upright: bool,
    opened: Callable[[Image.Image], None] | None,
) -> Pixels:
    _check_file(path, label)
    with path.open("rb") as file:
        return read_stream(file, path, label, upright, opened)


def read_stream(
    file: File,
    path: Path,
    label: str,
    upright: bool = True,
    opened: Callable[[Image.Image], None] | None = None,
) -> Pixels:
    """Read a picture from an open file.

    Args:
        file: open for reading.
        path: what it is called, for its suffix.
        label: what error messages call it.
        upright, opened: as in `read_image`.

    Raises:
        OSError, ValueError: as `read_image`.
    """
    image = open_picture(file, path, label)
    if image is None:
        return read_odd_tiff(file, first_directory(file) or {}, label, upright)
    with image:
        if opened is not None:
            opened(image)
        pixels = read_opened(image, label, upright)
        if _has_more_frames(image):
            warnings.warn(
                f"{label} has several frames or pages; the first is used",
                stacklevel=4,
            )
    return pixels


def _refuse_raw(image: Image.Image, label: str) -> None:
    """Refuse raw data that a caller opened; of files `open_picture` refuses it."""
    if not isinstance(image, TiffImageFile):
        return
    stream = getattr(image, "fp", None)
    if stream is not None and not stream.closed and is_camera_raw(stream):
        raise OSError(f"{label} {CAMERA_RAW}")


def _refuse_preview(tags: Tags, label: str) -> None:
    preview = not_the_photo(tags)
    if preview is not None:
        raise OSError(f"{label} {preview}")


def read_odd_tiff(file: File, tags: Tags, label: str, upright: bool = True) -> Pixels:
    """Read a TIFF that Pillow takes for something else.

    Args:
        file: open for reading.
        tags: what `first_directory` says of it.
        label: what error messages call it.
        upright: whether to turn the pixels as the file's orientation says.

    Raises:
        OSError, ValueError: as `read_image`.
    """
    _refuse_preview(tags, label)
    try:
        pixels = _read_array(read_tiff_picture(file, tags, label), label)
    except Image.DecompressionBombError as error:
        raise decoding_error(label, error) from error
    return _turned(pixels, orientation(tags) if upright else 1)


def _check_file(path: Path, label: str) -> None:
    """Raise what can be said about the file without reading its contents."""
    try:
        status = path.stat()
        if path.is_dir():
            raise IsADirectoryError(f"{label} is a folder; give a picture in it")
        if not path.is_file():  # opening a pipe would wait for a writer
            raise OSError(f"{label} is a pipe or a device; save it to a file first")
        if status.st_size == 0:
            raise OSError(f"{label} is empty (0 bytes); replace the file")
        path.open("rb").close()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{label} does not exist; check the path") from error
    except PermissionError as error:
        raise PermissionError(
            f"{label} cannot be opened: permission denied; change its permissions"
        ) from error
    except ValueError as error:  # NUL in it, or what has no bytes
        raise OSError(f"{label} is not a file name; check the path") from error
    except OSError as error:
        if error.errno is None:  # one of the sentences above
            raise
        raise OSError(f"{label} cannot be opened: {error.strerror}") from error


def _has_more_frames(image: Image.Image) -> bool:
    # Phones store a photo and its thumbnail or gain map as MPO: not an animation.
    if image.format == "MPO":
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:
        return False  # the later frames are damaged; the first one was read


def read_opened(image: Image.Image, label: str, upright: bool = True) -> Pixels:
    """Decode one frame of a Pillow image, turn it upright and bring it to RGB.

    Args:
        image: the current frame counts.
        label: what error messages call it.
        upright: as in `read_image`.

    Raises:
        OSError, ValueError: as `read_image`.
    """
    white = 65535
    if isinstance(image, TiffImageFile):
        tags = tags_of(image)
        _refuse_preview(tags, label)
        if needs_tifffile(tags):
            return read_odd_tiff(_stream_of(image, label), tags, label, upright)
        white = largest(tags)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        whole = whole_jpeg(image)
        if whole is None:
            kind = kind_of_open_jpeg(image)
            if kind is not None:
                raise OSError(f"{label} {kind}") from error
            raise decoding_error(label, error) from error
        image = whole
    mode = image.mode
    wide = mode.startswith("I;16") or (mode == "I" and image.format in _WIDE_FORMATS)
    turn = _orientation(image, label) if upright else 1
    if 0 in image.size:
        raise ValueError(f"{label} has no pixels: {image.width} x {image.height}")
    if mode in _BYTE_MODES:
        pixels = np.asarray(_to_rgb(image))
    elif wide:
        pixels = _read_array(np.asarray(image).astype(np.uint16), label)
        pixels = pixels if white == 65535 else pixels * np.float32(65535 / white)
    elif mode == "F":
        pixels = _read_array(np.asarray(image), label)
    else:
        raise ValueError(
            f"{label} has pixels of a kind that cannot be taken for RGB or grayscale "
            f"(Pillow mode {mode!r}); convert it to 8-bit RGB or 16-bit grayscale"
        )
    return _turned(pixels, turn)


def _stream_of(image: Image.Image, label: str) -> File:
    """Return the file that an image not yet loaded came from."""
    stream = getattr(image, "fp", None)
    if stream is None or stream.closed:
        raise ValueError(
            f"{label} is a TIFF that Pillow has already decoded, and wrongly; give "
            "its path instead"
        )
    return stream


def _to_rgb(image: Image.Image) -> Image.Image:
    """Bring an 8-bit image to RGB; colours under transparency stay as stored."""
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode in ("P", "PA", "RGBa"):
        # Straight to RGB Pillow warns about a palette with transparency.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _orientation(image: Image.Image, label: str) -> int:
    """Return the EXIF orientation; 1 where there is none."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # Pillow parses EXIF without checks of its own
        warnings.warn(
            f"{label} has unreadable EXIF data ({error}); it is read without rotation",
            stacklevel=5,
        )
        return 1


def _turned(
    pixels: Pixels, turn: int
) -> UInt8[np.ndarray, "h2 w2 3"] | Float32[np.ndarray, "h2 w2 3"]:
    """Turn a picture upright from an EXIF orientation; unknown ones turn nothing."""
    if turn not in _TURNS:
        return pixels
    return np.ascontiguousarray(_TURNS[turn](pixels))


def _read_array(array: np.ndarray, label: str) -> Pixels:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"{label} has shape {array.shape}; {_shape_remedy(array)}")
    if 0 in array.shape:
        raise ValueError(f"{label} has no pixels: shape {array.shape}")
    array = array[:, :, :3]
    # bfloat16, which JAX arrays may have, is not a NumPy kind of float.
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        array = _unit_range(array.astype(np.float32, copy=False), label)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:  # either byte order
        array = array.astype(np.float32) / np.float32(65535)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype != np.uint8:
        raise ValueError(
            f"{label} has pixels of type {array.dtype}; use uint8 in [0, 255], uint16 "
            "in [0, 65535] or float32 in [0, 1]"
        )
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _shape_remedy(array: np.ndarray) -> str:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return f"channels come last, {RGB}: use np.moveaxis(image, 0, -1)"
    if array.ndim == 4:
        return f"give one image (h, w, 3), or a list of images, {RGB}"
    return f"use (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), {RGB}"


def _unit_range(array: np.ndarray, label: str) -> np.ndarray:
    """Check that float pixels lie in [0, 1], and clip what rounding put outside."""
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{label} contains NaN or infinite pixels; replace them before predicting"
        )
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise ValueError(
            f"{label} has float pixels from {low:g} to {high:g}, but float pixels must "
            "lie in [0, 1]; divide by 255 (or by their own maximum), or use uint8"
        )
    return np.clip(array, 0, 1) if low < 0 or high > 1 else array
