"""Where maps of one picture differ once each has its canonical form."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

# Share of the pixels that count as edges: those where the maps' median is steepest.
EDGES = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Disagreement:
    """Largest minus smallest canonical inverse depth of several maps.

    In mean absolute deviations: 1 is as far as pixels usually are from the median.

    Attributes:
        spread: float32 (h, w).
        mean: over all pixels.
        far, middle, near: over the thirds of the pixels that the maps' median orders.
        edges, elsewhere: over the tenth where that median is steepest, and the rest.
    """

    spread: Float32[np.ndarray, "h w"]
    mean: float
    far: float
    middle: float
    near: float
    edges: float
    elsewhere: float


def disagreement(maps: Sequence[Float[np.ndarray, "h w"]]) -> Disagreement:
    """Say where maps differ.

    Args:
        maps: canonical, of one size, at least two.
    """
    stack = np.stack([m.astype(np.float32) for m in maps])
    spread = np.ptp(stack, axis=0)
    median = np.median(stack, axis=0)
    lower, upper = np.quantile(median, (1 / 3, 2 / 3))
    slope = _slope(median)
    steep = slope >= max(float(np.quantile(slope, 1 - EDGES)), np.finfo(float).tiny)
    far, near = median <= lower, median > upper
    return Disagreement(
        spread,
        *(
            float(spread[where].mean()) if where.any() else 0.0
            for where in (
                np.ones_like(far),
                far,
                ~far & ~near,
                near,
                steep,
                ~steep,
            )
        ),
    )


def _slope(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return the larger of the differences to the pixels below and to the right."""
    down = np.abs(np.diff(values, axis=0, append=values[-1:]))
    right = np.abs(np.diff(values, axis=1, append=values[:, -1:]))
    return np.maximum(down, right)
