"""What the readers of depth maps have in common: their result, checks and messages."""

import functools
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
from PIL import Image

from jax_depth.formats.json_file import refuse_pipe

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
    AttributeError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)
# Of a map, in millions: 4 GB of float32. Maps are not held to the limit of pictures,
# which is Pillow's, since those of large photos are as large as the photos.
_MEGAPIXELS = 1000
_NOTHING: Mapping = MappingProxyType({})


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        values: (h, w) numbers, scaled if the file says how.
        texts: what it says about them, such as "kind"; empty for most files.
        layers: further float32 (h, w) maps by name, such as "confidence".
    """

    values: np.ndarray
    texts: Mapping[str, str] = _NOTHING
    layers: Mapping[str, np.ndarray] = _NOTHING


_P = ParamSpec("_P")
_T = TypeVar("_T")


def naming(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Put the path, the first argument, into what a library says without it.

    A pipe is refused, since opening it would wait for a writer.
    """

    @functools.wraps(read)
    def reader(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        path: Any = args[0]
        named = isinstance(path, str | os.PathLike)
        try:
            if named:
                refuse_pipe(path)
            return read(*args, **kwargs)
        except DAMAGED as error:
            # With a name it is the system's refusal to open a sound file.
            refused = isinstance(error, OSError) and error.filename is not None
            text = " ".join(str(error).split())[:300] or type(error).__name__
            if refused or (isinstance(error, ValueError) and str(path) in text):
                raise
            raise ValueError(f"{path}: {text}" if named else text) from error

    return reader


def check_pixels(path: Path | str, *shape: int) -> None:
    """Refuse what unpacks into more than a map can be, before allocating memory for it.

    Raises:
        ValueError: the shape has more pixels than 1000 million, or than
            `formats.allow_megapixels` allows where that is more.
    """
    # Pillow refuses above twice its number.
    limit = max(_MEGAPIXELS * 1_000_000, 2 * (Image.MAX_IMAGE_PIXELS or math.inf))
    if (pixels := math.prod(shape)) > limit:
        size = -(-pixels // 1_000_000)
        raise ValueError(
            f"{path} declares {size} megapixels, more than the "
            f"{limit // 1_000_000:.0f} that a map may have; check the file, or if "
            f"you trust it call `jax_depth.formats.allow_megapixels({size})`"
        )


def numbers(array: np.ndarray, path: Path | str) -> np.ndarray:
    """Return an array of real numbers as (h, w), without one axis of length 1.

    Raises:
        ValueError: other values, or another shape.
    """
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {array.dtype} values, not real numbers")
    if array.dtype.itemsize > 4 and array.dtype.kind == "f" and array.size:
        # Otherwise they would silently become infinite.
        largest = np.max(np.abs(array), where=np.isfinite(array), initial=0)
        if largest > np.finfo(np.float32).max:
            raise ValueError(f"{path} holds {largest:g}, more than float32 can hold")
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"{path} holds an array of shape {array.shape}; a depth map needs an array "
            "(h, w)"
        )
    return array


def from_bytes(
    data: bytes, dtype: str, height: int, width: int, path: Path | str
) -> np.ndarray:
    """Return (h, w) numbers of `data`, which must hold exactly these.

    Raises:
        ValueError: it holds more or fewer.
    """
    expected = np.dtype(dtype).itemsize * height * width
    if height < 1 or width < 1 or len(data) != expected:
        raise ValueError(
            f"{path} has {len(data)} bytes of pixels where {width}x{height} need "
            f"{expected}: it is cut short or damaged"
        )
    return np.frombuffer(data, dtype).reshape(height, width)
