"""Sharpness of depth edges: the boundary F1 of Depth Pro."""

import numpy as np
from jaxtyping import Bool, Float

# As SI_boundary_F1 of Depth Pro (src/depth_pro/eval/boundary_metrics.py).
_RATIOS = np.linspace(1.05, 1.25, 10)


def boundary_f1(
    pred: Float[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"] | None = None,
) -> float:
    """Return the scale-invariant boundary F1 of Depth Pro (arXiv:2410.02073, 3.3).

    An edge is where neighbours' depths differ by more than a ratio, in one of four
    directions. Recall and precision are averaged over the directions, F1 over ten
    ratios from 1.05 to 1.25, larger ones counting more.

    Args:
        pred: positive depth, of any scale; a relative map must be aligned first,
            since a shift changes ratios.
        depth: positive true depth, dense: an edge beside a hole is not seen.
        mask: pixels where both are known; edges need both neighbours. Everywhere
            when None, as published.

    Returns:
        In [0, 1]; 0 where no edge agrees, also when the truth has none.
    """
    pred, depth = pred.astype(np.float64), depth.astype(np.float64)
    known = np.ones(pred.shape, bool) if mask is None else mask
    pred, depth = np.where(known, pred, 1.0), np.where(known, depth, 1.0)
    mine, true = list(_ratios(pred, known)), list(_ratios(depth, known))
    scores = [_f1(mine, true, ratio) for ratio in _RATIOS]
    return float(np.average(scores, weights=_RATIOS))


def _ratios(depth, known):
    """Yield neighbours' ratios in the four directions, 1 beside holes."""
    for one, other in (
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:-1], np.s_[1:]),
    ):
        yield np.where(known[one] & known[other], depth[one] / depth[other], 1.0)


def _f1(mine, true, ratio: float) -> float:
    recall = precision = 0.0
    for a, b in zip(mine, true, strict=True):
        p, t = a > ratio, b > ratio
        hits = np.count_nonzero(p & t)
        recall += hits / max(np.count_nonzero(t), 1) / 4
        precision += hits / max(np.count_nonzero(p), 1) / 4
    both = recall + precision
    return 2 * recall * precision / both if both else 0.0
