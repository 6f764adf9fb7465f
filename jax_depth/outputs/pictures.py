"""Pictures as PNG files: grey, colour, photo beside depth. They hold no values."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.formats.png16 import COMPRESSION
from jax_depth.outputs.color import colorize, side_by_side, to_gray
from jax_depth.outputs.legend import with_legend


def write_gray(
    depth: DepthMap,
    path: Path,
    low: float | None = None,
    high: float | None = None,
    legend: bool = False,
) -> None:
    """Write 8-bit grey, near bright."""
    picture = to_gray(depth, low, high)
    if legend:
        shown = np.repeat(picture[..., None], 3, axis=-1)
        picture = with_legend(shown, depth, "gray", low, high)[..., 0]
    write_png(picture, path)


def write_color(
    depth: DepthMap,
    path: Path,
    colormap: str = "Spectral_r",
    low: float | None = None,
    high: float | None = None,
    legend: bool = False,
) -> None:
    """Write an RGB picture, by default red for near."""
    picture = colorize(depth, colormap, low, high)
    if legend:
        picture = with_legend(picture, depth, colormap, low, high)
    write_png(picture, path)


def write_side_by_side(
    depth: DepthMap,
    path: Path,
    photo: UInt8[np.ndarray, "h w 3"],
    colormap: str = "Spectral_r",
    low: float | None = None,
    high: float | None = None,
    legend: bool = False,
) -> None:
    """Write the photo, a white margin and the coloured depth."""
    picture = side_by_side(photo, colorize(depth, colormap, low, high))
    if legend:
        picture = with_legend(picture, depth, colormap, low, high)
    write_png(picture, path)


def write_png(pixels: np.ndarray, path: Path) -> None:
    """Write uint8 pixels as the PNG of every picture here."""
    Image.fromarray(pixels).save(path, format="PNG", compress_level=COMPRESSION)
