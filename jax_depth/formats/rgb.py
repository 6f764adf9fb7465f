"""Pictures of datasets in 8 bits a channel, rows and columns as stored."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jax_depth.formats.image import as_bytes, read_image, read_stream
from jax_depth.formats.stored import naming


@naming
def read_rgb(
    path: Path | str | io.BytesIO, *, upright: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as uint8 (h, w, 3); one of more bits a channel is rounded.

    Args:
        path: of any format that `read_image` reads.
        upright: apply the EXIF orientation. Published depth is aligned with the stored
            rows and columns, so their readers leave it alone.

    Raises:
        OSError, ValueError: as `read_image`.
    """
    if isinstance(path, io.BytesIO):
        return as_bytes(read_stream(path, Path(), "the picture", upright))
    return as_bytes(read_image(path, upright=upright))
