"""Float32 TIFF, uncompressed, with its meaning as JSON in ImageDescription."""

import json
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from jax_depth.depth_map import DepthMap
from jax_depth.formats.metadata import from_texts, to_texts

_DESCRIPTION = 270  # the tag ImageDescription of TIFF 6.0


def write_tiff(depth: DepthMap, path: Path) -> None:
    """Write the values as one float32 channel."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[_DESCRIPTION] = json.dumps(to_texts(depth))
    Image.fromarray(depth.values).save(path, format="TIFF", tiffinfo=tags)


def read_tiff(path: Path, kind: str | None = None) -> DepthMap:
    """Read a one-channel float32 TIFF, ours or another program's.

    Raises:
        ValueError: other pixels than float32, or nobody says their kind.
    """
    # Pillow warns about a damaged file before it raises.
    with (
        warnings.catch_warnings(action="ignore"),
        Image.open(path, formats=["TIFF"]) as image,
    ):
        if image.mode != "F":
            raise ValueError(f"{path} has {image.mode} pixels, not one float32 channel")
        values = np.asarray(image)
        description = image.getexif().get(_DESCRIPTION, "")
    return from_texts(values, _texts(description), kind, path)


def _texts(description: str) -> dict[str, str]:
    """Return our texts from a description, which another program may have written."""
    try:
        document = json.loads(description)
    except ValueError:
        return {}
    if not isinstance(document, dict) or "kind" not in document:
        return {}
    return {key: str(value) for key, value in document.items()}
