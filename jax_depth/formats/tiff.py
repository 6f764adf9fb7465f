"""Float32 TIFF, uncompressed, with its meaning as JSON in ImageDescription."""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL import Image, TiffImagePlugin

from jax_depth.formats.stored import Stored, check_pixels, from_bytes, naming, numbers
from jax_depth.formats.tiff_pictures import (
    Tags,
    first_directory,
    is_big_endian_bigtiff,
    needs_tifffile,
    samples,
    size,
)

# Tags of TIFF 6.0.
_COMPRESSION, _DESCRIPTION, _STRIPS, _STRIP_SIZES = 259, 270, 273, 279


def write_tiff(
    path: Path, values: Float32[np.ndarray, "h w"], texts: Mapping[str, str]
) -> None:
    """Write the values as one float32 channel."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[_DESCRIPTION] = json.dumps({**texts})
    Image.fromarray(values).save(path, format="TIFF", tiffinfo=tags)


@naming
def read_tiff(path: Path | str) -> Stored:
    """Read a TIFF of one channel, ours or another program's.

    Raises:
        OSError, ValueError: missing, damaged, of several channels, or of more pixels
            than `check_pixels` allows.
    """
    # Pillow warns about a damaged file before it raises.
    with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
        tags = first_directory(file) or {}
        if not all(size(tags)):
            raise ValueError(f"{path} is not a TIFF file, or its header is damaged")
        check_pixels(path, *size(tags))
        texts = _texts(tags.get(_DESCRIPTION, ("",))[0])
        file.seek(0)
        if needs_tifffile(tags) or is_big_endian_bigtiff(file.read(4)):
            return Stored(_only_channel(samples(file, tags, str(path)), path), texts)
        file.seek(0)
        with TiffImagePlugin.TiffImageFile(file) as image:
            mode = image.mode
            if math.prod(image.size) > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
                values = _beyond_pillow(file, image, tags, path)
            else:
                values = np.asarray(image)
    if values.ndim != 2 or mode == "P":
        raise ValueError(
            f"{path}: it is a picture ({mode} pixels are a picture's); depth needs one "
            "channel"
        )
    return Stored(values, texts)


def _beyond_pillow(file: Any, image: Any, tags: Tags, path: Path | str) -> np.ndarray:
    """Read what Pillow's guard against decompression bombs refuses.

    A file as we write it, which cannot be such a bomb, needs no further package.
    """
    place = image.tag_v2
    if image.mode != "F" or place.get(_COMPRESSION, 1) != 1 or _STRIPS not in place:
        return _only_channel(samples(file, tags, str(path)), path)
    file.seek(0)
    order = "<f4" if file.read(2) == b"II" else ">f4"
    strips = []
    for start, length in zip(place[_STRIPS], place[_STRIP_SIZES], strict=True):
        file.seek(start)
        strips.append(file.read(length))
    return from_bytes(b"".join(strips), order, image.height, image.width, path)


def _only_channel(array: np.ndarray, path: Path | str) -> np.ndarray:
    if array.shape[2] != 1:
        raise ValueError(f"{path} has {array.shape[2]} channels; depth needs one")
    array = numbers(array, path)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _texts(description: str) -> dict[str, str]:
    """Return our texts from a description, which another program may have written."""
    try:
        document = json.loads(description)
    except (ValueError, TypeError, RecursionError):
        return {}
    if not isinstance(document, dict) or "kind" not in document:
        return {}
    return {key: str(value) for key, value in document.items()}
