"""How good a depth map is: alignment, metrics, protocols. NumPy, float64."""

from jax_depth.evaluation.alignment import fit_scale_shift
from jax_depth.evaluation.metrics import depth_metrics, evaluate, spearman

__all__ = ["depth_metrics", "evaluate", "fit_scale_shift", "spearman"]
