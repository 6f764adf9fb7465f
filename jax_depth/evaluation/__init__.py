"""How good a depth map is: alignment, metrics, protocols.

NumPy in float64, but for `align_disparity` and `masked_metrics`, which are the same for
batches inside a jitted step.
"""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy

if TYPE_CHECKING:
    from jax_depth.alignment import fit_scale_shift as fit_scale_shift
    from jax_depth.evaluation.alignment import Alignment as Alignment
    from jax_depth.evaluation.boundary import boundary_f1 as boundary_f1
    from jax_depth.evaluation.jitted import align_disparity as align_disparity
    from jax_depth.evaluation.jitted import masked_metrics as masked_metrics
    from jax_depth.evaluation.metrics import Score as Score
    from jax_depth.evaluation.metrics import depth_metrics as depth_metrics
    from jax_depth.evaluation.metrics import evaluate as evaluate
    from jax_depth.evaluation.metrics import score as score
    from jax_depth.evaluation.metrics import spearman as spearman

__getattr__, __dir__, __all__ = lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "Alignment": "alignment",
        "Score": "metrics",
        "align_disparity": "jitted",
        "boundary_f1": "boundary",
        "depth_metrics": "metrics",
        "evaluate": "metrics",
        "fit_scale_shift": ".alignment",
        "masked_metrics": "jitted",
        "score": "metrics",
        "spearman": "metrics",
    },
)
