"""Pictures as PNG files: grey, colour, photo beside depth. They hold no values."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.formats.png16 import COMPRESSION
from jax_depth.outputs.color import colorize, to_gray
from jax_depth.outputs.side_by_side import side_by_side


def write_gray(
    depth: DepthMap, path: Path, low: float | None = None, high: float | None = None
) -> None:
    """Write 8-bit grey, near bright."""
    _write(to_gray(depth, low, high), path)


def write_color(
    depth: DepthMap,
    path: Path,
    colormap: str = "Spectral_r",
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Write an RGB picture, by default red for near."""
    _write(colorize(depth, colormap, low, high), path)


def write_side_by_side(
    depth: DepthMap,
    path: Path,
    photo: UInt8[np.ndarray, "h w 3"],
    colormap: str = "Spectral_r",
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Write the photo, a white margin and the coloured depth."""
    _write(side_by_side(photo, colorize(depth, colormap, low, high)), path)


def _write(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path, format="PNG", compress_level=COMPRESSION)
