"""Depth maps of any program, by the suffix of their file, and the units they are in."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from jax_depth.formats.exr import read_exr
from jax_depth.formats.npy import read_npy, read_npz
from jax_depth.formats.pfm import read_pfm
from jax_depth.formats.png16 import read_png
from jax_depth.formats.raw import read_dpt
from jax_depth.formats.stored import Stored
from jax_depth.formats.tiff import read_tiff

_READERS: Mapping[str, Callable[[Path | str], Stored]] = {
    ".png": read_png,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".npy": read_npy,
    ".npz": functools.partial(read_npz, foreign=True),
    ".pfm": read_pfm,
    ".exr": read_exr,
    ".dpt": read_dpt,
}
MAP_SUFFIXES = tuple(_READERS)
# Units of length that files and people use for depth.
METRES: Mapping[str, float] = MappingProxyType(
    {"m": 1.0, "cm": 0.01, "mm": 0.001, "km": 1000.0, "in": 0.0254}
)


def read_map(path: Path | str) -> Stored:
    """Read a depth map: the numbers as stored, and what the file says about them.

    A 16-bit PNG that carries depth-scale and depth-offset (as jax_depth writes it) is
    scaled.

    Raises:
        OSError, ValueError: missing, damaged, or of another format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _READERS:
        raise ValueError(
            f"{path} has the suffix {suffix or '(none)'}; depth is read from "
            f"{', '.join(MAP_SUFFIXES)}"
        )
    return _READERS[suffix](path)
