"""One form for maps of every kind, so that they can be compared."""

import numpy as np
from jaxtyping import Float32, Float64

from jax_depth.depth_map import DepthMap

# Nearest depth that inverts, as a share of the farthest: metric maps may hold 0.
_NEAREST = 1e-3
# Longest side of the maps that are compared with each other and drawn.
LONGEST = 640


def to_disparity(depth: DepthMap) -> Float64[np.ndarray, "h w"]:
    """Return a map as inverse depth: larger is nearer, whatever its kind.

    Inverse depth stays as it is. Depth d becomes 1 / max(d, far / 1000), in 1/m for
    metres; a map without a positive value becomes 0 everywhere.
    """
    values = depth.values.astype(np.float64)
    if depth.near_is_large:
        return values
    far = values.max()
    if not far > 0:
        return np.zeros_like(values)
    return 1 / np.maximum(values, _NEAREST * far)


def canonical(depth: DepthMap) -> Float32[np.ndarray, "h w"]:
    """Return inverse depth with median 0 and mean absolute deviation 1.

    Raises:
        ValueError: the map is constant or not finite; one sentence.
    """
    disparity = DepthMap(to_disparity(depth), "inverse_depth", model=depth.model)
    return disparity.canonical().values


def thinned(depth: DepthMap, longest: int = LONGEST) -> DepthMap:
    """Return every n-th row and column, so that no side exceeds `longest`.

    Taken as they are, not averaged: an average would invent depths at edges.
    """
    step = -(-max(depth.shape) // longest)
    if step == 1:
        return depth
    return DepthMap(
        depth.values[::step, ::step],
        depth.kind,
        depth.unit,
        depth.model,
        depth.max_depth,
    )
