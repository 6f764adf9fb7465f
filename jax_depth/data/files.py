"""The file formats of published depth: pictures, maps of numbers, and their checks."""

import functools
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float, Float32, Real, UInt8, UInt16
from PIL import Image, ImageOps

# Modes of 8 bits a channel that Pillow converts to RGB without losing any.
_BYTE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_PFM_HEADER = re.compile(rb"(P[fF])\s+(\d+)\s+(\d+)\s+(\S+)[ \t\r]*\n")
# Written at the head of Sintel's depth files: "PIEH" as a little-endian float.
_DPT_TAG = 202021.25
# Text chunks of the 16-bit PNG that jax_depth.outputs writes.
_SCALE, _OFFSET, _KIND = "depth-scale", "depth-offset", "depth-kind"

# Of depth maps that `read_map` reads.
MAP_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr", ".dpt")


# What damaged files make Pillow, NumPy, zipfile, h5py and OpenEXR raise.
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    SyntaxError,
    RuntimeError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _naming(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Put the path, the first argument, into what a library says without it."""

    @functools.wraps(read)
    def reader(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except DAMAGED as error:
            if str(args[0]) in str(error):
                raise
            text = str(error) or type(error).__name__
            raise ValueError(f"{args[0]}: {text}") from error

    return reader


@_naming
def read_rgb(path: Path | str, *, upright: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture of 8 bits a channel as uint8 (h, w, 3).

    Args:
        path: of any format Pillow reads.
        upright: apply the EXIF orientation. Published depth is aligned with the stored
            rows and columns, so their readers leave it alone.

    Raises:
        OSError, ValueError, SyntaxError: missing, damaged, or not 8 bits a channel.
    """
    with Image.open(path) as image:
        if image.mode not in _BYTE_MODES:
            raise ValueError(f"{path} has pixels of mode {image.mode}, not 8 bits")
        if upright:
            image = ImageOps.exif_transpose(image)
        if image.mode == "P":  # through RGBA, or Pillow warns about transparency
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))


@_naming
def read_png16(path: Path | str) -> UInt16[np.ndarray, "h w"]:
    """Read a 16-bit grey PNG as uint16 (h, w).

    Raises:
        OSError, ValueError, SyntaxError: missing, damaged, or not such a PNG.
    """
    with Image.open(path, formats=["PNG"]) as image:
        if not image.mode.startswith("I"):
            raise ValueError(f"{path} has {image.mode} pixels, not 16-bit grey")
        return np.asarray(image).astype(np.uint16)


def read_pfm(path: Path | str) -> Float32[np.ndarray, "h w"]:
    """Read a one-channel portable float map of either byte order (netpbm `pfm`).

    Raises:
        OSError, ValueError: missing, cut short, or not such a file.
    """
    data = Path(path).read_bytes()
    header = _PFM_HEADER.match(data)
    if not header or header[1] != b"Pf":
        raise ValueError(f"{path} is not a one-channel PFM")
    width, height = int(header[2]), int(header[3])
    order = "<f4" if float(header[4]) < 0 else ">f4"
    values = _exactly(data[header.end() :], order, height, width, path)
    # Rows run from the bottom up.
    return np.flipud(values).astype(np.float32)


def read_dpt(path: Path | str) -> Float32[np.ndarray, "h w"]:
    """Read a depth map of MPI Sintel (its depth toolkit, `sintel_io.py`).

    Raises:
        OSError, ValueError: missing, cut short, or not such a file.
    """
    data = Path(path).read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != _DPT_TAG:
        raise ValueError(f"{path} is not a .dpt file: its tag is wrong")
    width, height = (int(n) for n in np.frombuffer(data, "<i4", 2, 4))
    return _exactly(data[12:], "<f4", height, width, path).astype(np.float32)


def read_raw_float32(
    path: Path | str, height: int, width: int
) -> Float32[np.ndarray, "h w"]:
    """Read a file of nothing but little-endian float32, row by row.

    Raises:
        OSError, ValueError: missing, or of another size.
    """
    data = Path(path).read_bytes()
    return _exactly(data, "<f4", height, width, path).astype(np.float32)


@_naming
def read_exr(
    path: Path | str, channel: str | None = None
) -> Float32[np.ndarray, "h w"]:
    """Read one channel of an OpenEXR file.

    Args:
        path: of the file.
        channel: its name; when None the only one, else Z, Y or G, whichever is first
            there: a depth map is often written three times over, as grey RGB.

    Raises:
        OSError, ValueError, RuntimeError: missing or damaged, no such channel, or the
            OpenEXR package is not installed.
    """
    openexr = _optional("OpenEXR", "EXR files")
    if not os.path.exists(path):
        raise FileNotFoundError(2, "does not exist", str(path))
    with openexr.File(str(path), separate_channels=True) as file:
        channels = file.channels()
        wanted = [channel] if channel else ["Z", "Y", "G"]
        if channel is None and len(channels) == 1:
            wanted = list(channels)
        name = next((name for name in wanted if name in channels), None)
        if name is None:
            raise ValueError(f"{path} has the channels {', '.join(channels) or 'none'}")
        return np.array(channels[name].pixels, dtype=np.float32)


def hdf5_module() -> ModuleType:
    """Return h5py.

    Raises:
        ValueError: it is not installed.
    """
    return _optional("h5py", "HDF5 files")


@_naming
def read_npy(path: Path | str) -> Float[np.ndarray, "h w"]:
    """Read a NumPy array of numbers (h, w), or with one axis of length 1 besides.

    Raises:
        OSError, ValueError, EOFError: missing, damaged, or of another shape.
    """
    # Opened here, since np.load leaves a damaged file open.
    with open(path, "rb") as file:
        return _flat(np.lib.format.read_array(file, allow_pickle=False), path)


@_naming
def read_npz(path: Path | str) -> tuple[Real[np.ndarray, "h w"], str | None]:
    """Read `values` (or `depth`, or the only array) of a NumPy archive, and its kind.

    Raises:
        OSError, ValueError, BadZipFile: missing, damaged, or without such an array.
    """
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
        names = file.files
        key = next((k for k in ("values", "depth") if k in names), None)
        if key is None and len(names) != 1:
            raise ValueError(f"{path} holds the arrays {', '.join(names)}, not one")
        kind = str(file["kind"]) if "kind" in names else None
        return _flat(file[key or names[0]], path), kind


@_naming
def read_map(path: Path | str) -> tuple[Real[np.ndarray, "h w"], str | None]:
    """Read a depth map by its suffix: the numbers as stored, and what they are.

    `.png`, `.tif` and `.tiff` of one channel, `.npy`, `.npz`, `.pfm`, `.exr`, `.dpt`.
    A 16-bit PNG that carries depth-scale and depth-offset (as jax_depth writes it) is
    scaled, and its kind is returned, as is that of an `.npz` that says it; the kind is
    None for every other file.

    Raises:
        OSError, ValueError, ...: missing, damaged, or of another format.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".png", ".tif", ".tiff"):
        return read_described_png(path)
    if suffix == ".npz":
        return read_npz(path)
    readers = {
        ".npy": read_npy,
        ".pfm": read_pfm,
        ".dpt": read_dpt,
        ".exr": read_exr,
    }
    if suffix not in readers:
        raise ValueError(
            f"{path} has the suffix {suffix or '(none)'}; depth is read from "
            f"{', '.join(MAP_SUFFIXES)}"
        )
    return readers[suffix](path), None


def read_described_png(
    source: Path | str | BinaryIO,
) -> tuple[Real[np.ndarray, "h w"], str | None]:
    """Read a PNG or TIFF of one channel: its numbers, scaled if it says so, its kind.

    Raises:
        OSError, ValueError, ...: missing, damaged, or of several channels.
    """
    with Image.open(source, formats=["PNG", "TIFF"]) as image:
        image.load()  # text chunks may follow the pixels
        texts = dict(getattr(image, "text", {}))
        mode, values = image.mode, np.asarray(image)
    if values.ndim != 2 or mode == "P":
        raise ValueError(f"{mode} pixels are a picture's; depth needs one channel")
    if _SCALE not in texts or _OFFSET not in texts:
        return values, None
    if not mode.startswith("I"):
        raise ValueError(f"it was reduced to {mode} pixels, so its depth is lost")
    scale, offset = float(texts[_SCALE]), float(texts[_OFFSET])
    return offset + scale * values.astype(np.float64), texts.get(_KIND)


def _exactly(
    data: bytes, dtype: str, height: int, width: int, path: Path | str
) -> np.ndarray:
    expected = np.dtype(dtype).itemsize * height * width
    if height < 1 or width < 1 or len(data) != expected:
        raise ValueError(
            f"{path} has {len(data)} bytes of values where {width}x{height} need "
            f"{expected}: it is cut short or damaged"
        )
    return np.frombuffer(data, dtype).reshape(height, width)


def _flat(array: np.ndarray, path: Path | str) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {array.dtype}, not numbers")
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{path} holds an array of shape {array.shape}, not (h, w)")
    return array


def _optional(name: str, what: str) -> ModuleType:
    try:
        return __import__(name)
    except ImportError:
        raise ValueError(
            f"{what} need the {name} package: pip install 'jax_depth[data]'"
        ) from None
