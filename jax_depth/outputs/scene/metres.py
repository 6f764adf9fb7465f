"""Metres for a relative map, given its nearest and farthest point."""

import numpy as np

from jax_depth.depth_map import DepthMap


def between(depth: DepthMap, near: float, far: float) -> DepthMap:
    """Return a relative map in metres, its nearest point at `near`, farthest at `far`.

    For inverse depth the two fix scale and shift in inverse depth, where a relative
    model leaves them open; `DepthMap.to_metric` fits them to measured distances
    instead.

    Args:
        depth: a map without unit.
        near, far: metres along the optical axis.

    Raises:
        ValueError: the map is metric or constant, or not 0 < near < far.
    """
    if depth.unit is not None:
        raise ValueError(
            f"the map is in metres already ({depth}); near and far are for relative "
            "models"
        )
    if not 0 < near < far < np.inf:
        raise ValueError(f"near {near:g} and far {far:g} must be 0 < near < far metres")
    if depth.values.min() == depth.values.max():
        raise ValueError(
            f"the map is constant ({depth.values.flat[0]:g} everywhere), so near and "
            "far fix no scale"
        )
    nearest, farthest = np.argmax(depth.values), np.argmin(depth.values)
    if not depth.near_is_large:
        nearest, farthest = farthest, nearest
    points = [
        (*divmod(int(where), depth.shape[1])[::-1], metres)
        for where, metres in ((nearest, near), (farthest, far))
    ]
    # Above `far`: where a map ends, `lift` takes it for saturated.
    return depth.to_metric(points, unknowns="scale_shift", max_depth=1.02 * far)
