"""How far two maps of one picture agree, once one is aligned to the other."""

import dataclasses

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.evaluation.alignment import Alignment
from jax_depth.evaluation.boundary import boundary_f1
from jax_depth.evaluation.metrics import score
from jax_depth.study.common_form import to_disparity

# Farthest depth over nearest, of the map that is taken for the truth. Its own zero is
# infinitely far, so somewhere it has to be cut off.
REACH = 100.0
_ALIGNMENT = Alignment("scale_shift", "disparity")
_AS_IT_IS = Alignment("none", "depth")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """One map judged as if another were the truth.

    Attributes:
        abs_rel, d1: of depth, after least squares of scale and shift in inverse depth.
        spearman: rank correlation of inverse depth; needs no alignment.
        edges: boundary F1 of Depth Pro on the aligned depths, over what `other` scores
            against itself (below 1 where a direction has no edge); None where the
            reference has no edge at all.
        metres_abs_rel, metres_d1: of two metric maps as they are; None otherwise.
        notes: a sentence for everything that makes the figures worth little.
    """

    abs_rel: float
    d1: float
    spearman: float
    edges: float | None
    metres_abs_rel: float | None = None
    metres_d1: float | None = None
    notes: tuple[str, ...] = ()


def agreement(one: DepthMap, other: DepthMap) -> Agreement:
    """Judge a map by another of the same picture.

    Scale and shift of `other` are free as well if it is relative, and AbsRel needs a
    zero: the largest inverse depth counts as depth 1, and 0 is what that model calls
    infinitely far, cut off at depth 100. So the figures do not change with the scale of
    either map nor with the shift of `one`.

    Raises:
        ValueError: sizes differ, or `other` is constant or one of them not finite.
    """
    x, y = to_disparity(one), to_disparity(other)
    nearest = float(y.max())
    if not (nearest > 0 and np.isfinite(y).all() and y.min() < nearest):
        raise ValueError(
            f"the map of {other.model or 'the other model'} is constant, not positive "
            "or not finite, so nothing can be aligned to it"
        )
    truth = 1 / np.maximum(y / nearest, 1 / REACH)
    everywhere = np.ones(truth.shape, bool)
    beyond = float(np.nextafter(REACH, np.inf))
    result = score(x, truth, everywhere, _ALIGNMENT, 1e-3, beyond)
    most = boundary_f1(truth, truth)
    edges = boundary_f1(result.aligned.depth, truth) / most if most else None
    metres: dict[str, float] = {}
    if one.kind == other.kind == "metric_depth":
        metres = _in_metres(one, other)
    return Agreement(
        result.metrics["abs_rel"],
        result.metrics["d1"],
        result.metrics["spearman"],
        edges,
        metres.get("abs_rel"),
        metres.get("d1"),
        result.aligned.notes,
    )


def _in_metres(one: DepthMap, other: DepthMap) -> dict[str, float]:
    truth = other.values.astype(np.float64)
    known = truth > 1e-3
    if not known.any():
        return {}
    far = float(np.nextafter(truth.max(), np.inf))
    reach = max(far, float(one.values.max()))
    result = score(one.values, truth, known, _AS_IT_IS, 1e-3, np.nextafter(reach, 1e9))
    return result.metrics
