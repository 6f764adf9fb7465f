"""How good a depth map is: alignment, metrics, protocols. NumPy, float64.

`jitted` has the metrics for use inside a jitted step.
"""

from jax_depth.alignment import fit_scale_shift
from jax_depth.evaluation.alignment import Alignment
from jax_depth.evaluation.boundary import boundary_f1
from jax_depth.evaluation.metrics import Score, depth_metrics, evaluate, score, spearman

__all__ = [
    "Alignment",
    "Score",
    "boundary_f1",
    "depth_metrics",
    "evaluate",
    "fit_scale_shift",
    "score",
    "spearman",
]
