"""Float32 with little or nothing around it: Sintel's `.dpt`, and bare numbers."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jax_depth.formats.stored import Stored, from_bytes, naming

# Written at the head of Sintel's depth files: "PIEH" as a little-endian float.
_DPT_TAG = 202021.25


@naming
def read_dpt(path: Path | str) -> Stored:
    """Read a depth map of MPI Sintel (its depth toolkit, `sintel_io.py`).

    Raises:
        OSError, ValueError: missing, cut short, or not such a file.
    """
    data = Path(path).read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != _DPT_TAG:
        raise ValueError(f"{path} is not a .dpt file: its tag is wrong")
    width, height = (int(n) for n in np.frombuffer(data, "<i4", 2, 4))
    return Stored(from_bytes(data[12:], "<f4", height, width, path).astype("f4"))


@naming
def read_raw_float32(
    path: Path | str, height: int, width: int
) -> Float32[np.ndarray, "h w"]:
    """Read a file of nothing but little-endian float32, row by row.

    Raises:
        OSError, ValueError: missing, or of another size.
    """
    data = Path(path).read_bytes()
    return from_bytes(data, "<f4", height, width, path).astype(np.float32)
