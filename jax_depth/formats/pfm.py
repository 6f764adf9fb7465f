"""Portable float map: float32, rows from the bottom up (Debevec, netpbm `pfm`)."""

import re
from pathlib import Path

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.formats.metadata import from_texts

_HEADER = re.compile(rb"(P[fF])\s+(\d+)\s+(\d+)\s+(\S+)[ \t\r]*\n")


def write_pfm(depth: DepthMap, path: Path) -> None:
    """Write the values, little endian; kind and unit are not in the file."""
    height, width = depth.shape
    with open(path, "wb") as file:
        # A negative scale says little endian; its size has no agreed meaning.
        file.write(f"Pf\n{width} {height}\n-1.0\n".encode())
        file.write(np.flipud(depth.values).astype("<f4").tobytes())


def read_pfm(path: Path, kind: str | None = None) -> DepthMap:
    """Read a one-channel PFM of either byte order.

    Raises:
        ValueError: not a one-channel PFM, cut short, or `kind` is not given.
    """
    data = path.read_bytes()
    header = _HEADER.match(data)
    try:
        scale = float(header[4]) if header else 0.0
    except ValueError:
        scale = 0.0
    if not header or header[1] != b"Pf" or scale == 0:
        raise ValueError(f"{path} is not a one-channel PFM")
    width, height = int(header[2]), int(header[3])
    body = data[header.end() :]
    if len(body) != 4 * width * height:
        raise ValueError(
            f"{path} has {len(body)} bytes of pixels where {width}x{height} need "
            f"{4 * width * height}: it is cut short or damaged"
        )
    values = np.frombuffer(body, "<f4" if scale < 0 else ">f4")
    return from_texts(np.flipud(values.reshape(height, width)), {}, kind, path)
