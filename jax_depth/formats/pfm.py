"""Portable float map: float32, rows from the bottom up (Debevec, netpbm `pfm`)."""

import math
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jax_depth.formats.stored import Stored, from_bytes, naming

_HEADER = re.compile(rb"(P[fF])\s+(\d{1,9})\s+(\d{1,9})\s+(\S+)[ \t\r]*\n")


def write_pfm(path: Path, values: Float32[np.ndarray, "h w"]) -> None:
    """Write the values, little endian; what they mean is not in the file."""
    height, width = values.shape
    with open(path, "wb") as file:
        # A negative scale says little endian; its size has no agreed meaning.
        file.write(f"Pf\n{width} {height}\n-1.0\n".encode())
        file.write(np.flipud(values).astype("<f4").tobytes())


@naming
def read_pfm(path: Path | str) -> Stored:
    """Read a one-channel PFM of either byte order.

    Raises:
        OSError, ValueError: missing, cut short, or not a one-channel PFM.
    """
    data = Path(path).read_bytes()
    header = _HEADER.match(data)
    try:
        scale = float(header[4]) if header else 0.0
    except ValueError:
        scale = 0.0
    if not header or header[1] != b"Pf" or not 0 < abs(scale) < math.inf:
        raise ValueError(f"{path} is not a one-channel PFM")
    order = "<f4" if scale < 0 else ">f4"
    values = from_bytes(
        data[header.end() :], order, int(header[3]), int(header[2]), path
    )
    return Stored(np.flipud(values).astype(np.float32))
