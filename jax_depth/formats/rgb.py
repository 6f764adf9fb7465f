"""Pictures of published datasets: 8 bits a channel, rows and columns as stored."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.formats.image import read_image
from jax_depth.formats.stored import naming


@naming
def read_rgb(
    path: Path | str | io.BytesIO, *, upright: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture of 8 bits a channel as uint8 (h, w, 3).

    Args:
        path: of any format Pillow reads.
        upright: apply the EXIF orientation. Published depth is aligned with the stored
            rows and columns, so their readers leave it alone.

    Raises:
        OSError, ValueError: missing, damaged, or not 8 bits a channel.
    """
    source = Image.open(path) if isinstance(path, io.BytesIO) else path
    pixels = read_image(source, upright=upright)
    if pixels.dtype != np.uint8:
        raise ValueError(f"{path} has more than 8 bits a channel; convert it to 8")
    return pixels
