"""Photo and depth in one picture."""

import numpy as np
from jaxtyping import UInt8

# As in run.py of Depth Anything V1 and V2.
MARGIN = 50


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
