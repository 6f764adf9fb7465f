"""Sharpens the soft edges of a depth map: each pixel joins one of two surfaces."""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

# A soft edge is at most this share of the shorter side on each of its sides.
_REACH = 0.04
# Relative change of depth below which nobody sees an edge.
_LEAST = 0.03
# Shoulders of an edge are less steep than the edge itself by this factor.
_SHOULDER = 3.0


def snapped(
    z: Float[np.ndarray, "h w"],
    steep: Bool[np.ndarray, "h w"],
    leaning: Bool[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """Return depth in which pixels between two surfaces lie on one of them.

    Networks blur edges over several pixels, whose depth belongs to no surface: cut out,
    they leave a halo around every object. Here each is given the depth of the closest
    pixel of the surface in front or behind, whichever its own depth is nearer to. A
    wide slope, such as a floor seen at a low angle, is not an edge and stays.

    Args:
        z: depth, above 0.
        steep: pixels of triangles too steep to be a surface's.
        leaning: pixels of triangles that may be the shoulder of such an edge.
    """
    # Late: only meshes need it.
    from scipy import ndimage

    grown: Any = ndimage.binary_propagation(steep, mask=leaning | steep)
    soft: np.ndarray = grown
    if soft.all() or not soft.any():
        return z
    reach = max(2, math.ceil(_REACH * min(z.shape)))
    core = _distance(soft) > reach
    if core.any():
        soft &= _distance(~core) > reach + 1
    window = 4 * reach + 1  # to the other side of the widest
    near = ndimage.minimum_filter(np.where(soft, np.inf, z), window)
    far = ndimage.maximum_filter(np.where(soft, 0.0, z), window)
    soft &= far > (1 + _LEAST) * near
    # An infinite near or a far of 0 has no surface around it, and is in no `soft`.
    middle = np.sqrt(np.where(soft, near * far, 1.0))
    middle = _spread(middle, soft)
    sides = [_closest(z, ~soft & side) for side in (z <= middle, z > middle)]
    choose = np.abs(np.log(sides[0] / z)) <= np.abs(np.log(sides[1] / z))
    there = np.where(choose, *sides)
    return np.where(soft & (np.abs(np.log(there / z)) > _LEAST), there, z)


def _spread(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return values, at each pixel that of the closest known one."""
    return _closest(values, known) if known.any() else values


def _closest(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return at each pixel the value of the closest pixel among some."""
    from scipy import ndimage

    if not among.any():
        return np.full_like(values, np.inf)
    found: Any = ndimage.distance_transform_edt(
        ~among, return_distances=False, return_indices=True
    )
    return values[found[0], found[1]]


def _distance(inside: np.ndarray) -> np.ndarray:
    """Return how many pixels each is from the closest one that is not inside."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(inside))


def shoulder_angle(edge_angle: float) -> float:
    """Return the angle, in degrees, below which the shoulder of an edge is seen."""
    return min(_SHOULDER * edge_angle, 89.0)
