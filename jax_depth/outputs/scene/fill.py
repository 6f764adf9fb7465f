"""What is behind objects, guessed from their surroundings: the background continued.

Telea's inpainting of OpenCV (A. Telea, An image inpainting technique based on the fast
marching method, 2004) continues colour and depth from the far side of every edge.
"""

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jax_depth.formats.optional import installed, optional_module

# Of the longer side: how far the background continues behind an object. What is farther
# in is rarely seen by a camera that turns by 25 degrees.
_DEPTH = 0.25
# Jump in depth from a pixel to its neighbour that has something behind it.
_JUMP = 1.04
# Pixels around each that inpainting looks at.
_RADIUS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Behind:
    """The second layer of a picture.

    Attributes:
        there: bool (h, w), pixels that have something behind them.
        z: depth (h, w) of it, metres; above that of the first layer where `there`.
        colors: uint8 (h, w, 3) of it.
    """

    there: Bool[np.ndarray, "h w"]
    z: Float[np.ndarray, "h w"]
    colors: UInt8[np.ndarray, "h w 3"]


def can_fill() -> bool:
    """Whether OpenCV is installed, which paints what is behind objects."""
    return installed("cv2")


def cv2_module() -> ModuleType:
    """Return OpenCV.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module("cv2", "filling behind objects needs", "fill", "OpenCV")


def behind(
    z: Float[np.ndarray, "h w"], colors: UInt8[np.ndarray, "h w 3"]
) -> Behind | None:
    """Return what is behind the near side of every jump in depth.

    Args:
        z: depth with hard edges, above 0.
        colors: of the same pixels.

    Returns:
        None where nothing stands in front of anything.

    Raises:
        ValueError: OpenCV is not installed.
    """
    cv2 = cv2_module()
    from scipy import ndimage

    near, far = _sides(z)
    if not near.any():
        return None
    reach = max(3, round(_DEPTH * max(z.shape)))
    front, back = _along(z, near & ~far, far, reach)
    if not back.any():
        return None
    # Only the background is known, so nothing of the object leaks into it.
    unknown = np.where(back, 0, 255).astype(np.uint8)
    # Inverse depth, in which planes are straight; in 16 bits, as floats are rounded.
    scale = 65535 * float(z[back].min())
    levels = np.where(back, scale / z, 0).round().astype(np.uint16)
    inverse = cv2.inpaint(levels, unknown, _RADIUS, cv2.INPAINT_TELEA) / scale
    painted = cv2.inpaint(
        np.ascontiguousarray(colors), unknown, _RADIUS, cv2.INPAINT_TELEA
    )
    deep = 1 / np.maximum(inverse, 1 / (2 * z[back].max()))
    # One ring of the background itself, so that no gap is left between the two.
    grown: Any = ndimage.binary_dilation(front, iterations=2)
    ring = grown & back
    there = (front & (deep > z * 1.01)) | ring
    if not there.any():
        return None
    deep = np.where(ring, z * 1.001, deep)
    return Behind(there, deep, painted)


def _sides(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels just before, and those just behind, a jump in depth."""
    near, far = np.zeros((2, *z.shape), bool)
    for axis in (0, 1):
        one = [slice(None)] * 2
        other = [slice(None)] * 2
        one[axis], other[axis] = slice(None, -1), slice(1, None)
        a, b = tuple(one), tuple(other)
        rise, fall = z[b] > _JUMP * z[a], z[a] > _JUMP * z[b]
        near[a] |= rise
        far[b] |= rise
        near[b] |= fall
        far[a] |= fall
    return near, far


def _along(
    z: np.ndarray, near: np.ndarray, far: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of the surfaces before and behind edges.

    Both grow from their side of an edge along the surface, never across an edge; where
    they meet, as on the ground that an object stands on, each keeps what it has.
    """
    joined = [
        np.abs(np.log(z[1:] / z[:-1])) < np.log(_JUMP),
        np.abs(np.log(z[:, 1:] / z[:, :-1])) < np.log(_JUMP),
    ]
    sides = [near.copy(), far.copy()]
    for _ in range(steps):
        for side, other in (sides, sides[::-1]):
            new = side.copy()
            new[1:] |= side[:-1] & joined[0]
            new[:-1] |= side[1:] & joined[0]
            new[:, 1:] |= side[:, :-1] & joined[1]
            new[:, :-1] |= side[:, 1:] & joined[1]
            side[...] = new & ~other
    return sides[0], sides[1]
