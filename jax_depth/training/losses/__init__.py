"""Training losses on dense depth: relative, metric, distilled, ordinal.

Every loss takes (b, h, w) maps of any float precision and a boolean mask, computes
in float32 per image and returns the mean over the images that can be judged; an
image that cannot (see `usable`) weighs 0. Values under a False mask never matter,
NaN and infinity included, neither for the value nor for the gradient. Since every
reduction is per image, sharding a batch or accumulating it in parts of equal size
changes nothing.

    relative      scale- and shift-invariant, in disparity; gradient matching
    metric        SiLog, log-gradient
    distillation  feature alignment, CutMix consistency
    ordinal       which of two pixels is nearer
    statistics    masked medians and means without boolean indexing

Sources: Ranftl et al. 2020 (MiDaS, arXiv:1907.01341), Yang et al. 2024 (Depth
Anything V1, arXiv:2401.10891; V2, arXiv:2406.09414), Eigen et al. 2014
(arXiv:1406.2283). The MiDaS gist that most code copies takes the median with
invalid pixels as zeros and trims nothing; these follow the papers.
"""

from jax_depth.training.losses.distillation import (
    cutmix_consistency,
    feature_alignment,
)
from jax_depth.training.losses.metric import log_gradient, silog
from jax_depth.training.losses.ordinal import ordinal_ranking
from jax_depth.training.losses.relative import (
    affine_invariant,
    fit_least_squares,
    gradient_matching,
    least_squares,
    normalize,
    trimmed,
    trimmed_difference,
    usable,
)
from jax_depth.training.losses.statistics import (
    MIN_PIXELS,
    MIN_SPREAD,
    median_and_spread,
    order_statistic,
)

__all__ = [
    "MIN_PIXELS",
    "MIN_SPREAD",
    "affine_invariant",
    "cutmix_consistency",
    "feature_alignment",
    "fit_least_squares",
    "gradient_matching",
    "least_squares",
    "log_gradient",
    "median_and_spread",
    "normalize",
    "order_statistic",
    "ordinal_ranking",
    "silog",
    "trimmed",
    "trimmed_difference",
    "usable",
]
