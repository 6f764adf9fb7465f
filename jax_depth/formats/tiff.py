"""Float32 TIFF, uncompressed, with its meaning as JSON in ImageDescription."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image, TiffImagePlugin

from jax_depth.formats.stored import Stored, naming

_DESCRIPTION = 270  # the tag ImageDescription of TIFF 6.0


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
        OSError, ValueError: missing, damaged, or of several channels.
    """
    # Pillow warns about a damaged file before it raises.
    with (
        warnings.catch_warnings(action="ignore"),
        Image.open(path, formats=["TIFF"]) as image,
    ):
        mode, values = image.mode, np.asarray(image)
        description = image.getexif().get(_DESCRIPTION, "")
    if values.ndim != 2 or mode == "P":
        raise ValueError(
            f"{path}: it is a picture ({mode} pixels are a picture's); depth needs one "
            "channel"
        )
    return Stored(values, _texts(description))


def _texts(description: str) -> dict[str, str]:
    """Return our texts from a description, which another program may have written."""
    try:
        document = json.loads(description)
    except (ValueError, TypeError):
        return {}
    if not isinstance(document, dict) or "kind" not in document:
        return {}
    return {key: str(value) for key, value in document.items()}
