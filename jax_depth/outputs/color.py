"""8-bit pictures of a depth map, for people to look at."""

import numpy as np
from jaxtyping import UInt8

from jax_depth.depth_map import DepthMap
from jax_depth.outputs.colormap import colormap as table_of

# Between photo and depth, as in run.py of Depth Anything V1 and V2.
MARGIN = 50


def to_gray(
    depth: DepthMap, low: float | None = None, high: float | None = None
) -> UInt8[np.ndarray, "h w"]:
    """Return the map as 8-bit grey: nearest 255, farthest 0, for every kind.

    Args:
        depth: the map; its values must be finite.
        low: smallest value shown; smaller ones look the same. The smallest of the
            map when None, as the original does per photo.
        high: largest value shown, likewise. Give both so that two maps share one
            scale.

    Returns:
        uint8 (h, w): trunc(255 * (value - low) / (high - low)), as `run.py` of Depth
        Anything V1 and V2 computes it, for inverse depth; 255 minus that for depth
        and metric depth. A constant map counts as its
        own smallest value.

    Raises:
        ValueError: values are not finite, or low is not below high.
    """
    levels = (depth.normalized(low, high) * np.float32(255)).astype(np.uint8)
    return levels if depth.near_is_large else 255 - levels


def colorize(
    depth: DepthMap,
    colormap: str = "Spectral_r",
    low: float | None = None,
    high: float | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the map as an RGB picture in which near always looks the same.

    For inverse depth this is the picture of the original `run.py`, pixel by pixel.
    For depth and metric depth the colour table is reversed, so that near stays red in
    "Spectral_r"; the original `metric_depth/run.py` achieves the same with "Spectral".

    Args:
        depth: the map; its values must be finite.
        colormap: a name from `jax_depth.outputs.colormap.COLORMAPS`.
        low, high: range to show, as in `to_gray`.

    Returns:
        uint8 (h, w, 3) RGB.

    Raises:
        ValueError: unknown colour map, values not finite, or an empty range.
    """
    return table_of(colormap)[to_gray(depth, low, high)]


def side_by_side(
    photo: UInt8[np.ndarray, "h w 3"], picture: UInt8[np.ndarray, "h2 w2 3"]
) -> UInt8[np.ndarray, "h w3 3"]:
    """Return photo, a white margin of 50 pixels, picture, from left to right.

    Args:
        photo: uint8 RGB.
        picture: uint8 RGB of the same size, for example from `colorize`.

    Returns:
        uint8 RGB (h, 2 w + 50, 3).

    Raises:
        ValueError: the sizes differ.
    """
    if photo.shape != picture.shape:
        raise ValueError(
            f"the photo is {photo.shape[1]}x{photo.shape[0]} but its depth "
            f"{picture.shape[1]}x{picture.shape[0]}"
        )
    margin = np.full((photo.shape[0], MARGIN, 3), 255, dtype=np.uint8)
    return np.concatenate([photo, margin, picture], axis=1)
