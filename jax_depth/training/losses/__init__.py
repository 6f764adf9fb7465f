"""Training losses on dense depth: relative, metric, distilled, ordinal.

Every loss takes (b, h, w) maps of any float precision and a boolean mask, computes
in float32 per image and returns the mean over the images that can be judged; an
image that cannot (see `usable`) weighs 0. Values under a False mask never matter,
NaN and infinity included, neither for the value nor for the gradient. Since every
reduction is per image, sharding a batch or accumulating it in parts of equal size
changes nothing.

A loss registers its name in a file of its own; `registry` says what it may take.

    affine, trimmed_sum, squares    scale- and shift-invariant, in disparity
    gradients, log_gradients        multi-scale gradient matching
    scale_invariant_log             SiLog, of metres
    output_gauge, ordinal           a relative output's gauge; which of two is nearer
    features                        alignment with a frozen encoder's tokens
    normalization, statistics       what they share: medians, spreads, masked means

Sources: Ranftl et al. 2020 (MiDaS, arXiv:1907.01341), Yang et al. 2024 (Depth
Anything V1, arXiv:2401.10891; V2, arXiv:2406.09414), Eigen et al. 2014
(arXiv:1406.2283). The MiDaS gist that most code copies takes the median with
invalid pixels as zeros and trims nothing; these follow the papers.
"""

from jax_depth.training.losses.affine import affine_invariant, cutmix_consistency
from jax_depth.training.losses.features import feature_alignment
from jax_depth.training.losses.gradients import (
    aligned_gradient_matching,
    gradient_matching,
)
from jax_depth.training.losses.log_gradients import log_gradient
from jax_depth.training.losses.normalization import (
    normalize,
    trimmed_difference,
    usable,
)
from jax_depth.training.losses.ordinal import ordinal_ranking
from jax_depth.training.losses.output_gauge import gauge
from jax_depth.training.losses.registry import Term, names, register
from jax_depth.training.losses.scale_invariant_log import silog
from jax_depth.training.losses.squares import fit_least_squares, least_squares
from jax_depth.training.losses.statistics import (
    MIN_PIXELS,
    MIN_SPREAD,
    median_and_spread,
    order_statistic,
)
from jax_depth.training.losses.trimmed_sum import trimmed

__all__ = [
    "MIN_PIXELS",
    "MIN_SPREAD",
    "Term",
    "affine_invariant",
    "aligned_gradient_matching",
    "cutmix_consistency",
    "feature_alignment",
    "fit_least_squares",
    "gauge",
    "gradient_matching",
    "least_squares",
    "log_gradient",
    "median_and_spread",
    "names",
    "normalize",
    "order_statistic",
    "ordinal_ranking",
    "register",
    "silog",
    "trimmed",
    "trimmed_difference",
    "usable",
]
