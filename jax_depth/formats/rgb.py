"""Pictures of published datasets: 8 bits a channel, rows and columns as stored."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from jax_depth.formats.stored import naming

# Modes of 8 bits a channel that Pillow converts to RGB without losing any.
_BYTE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


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
    with Image.open(path) as image:
        if image.mode not in _BYTE_MODES:
            raise ValueError(f"{path} has pixels of mode {image.mode}, not 8 bits")
        if upright:
            image = ImageOps.exif_transpose(image)
        if image.mode == "P":  # through RGBA, or Pillow warns about transparency
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))
