"""MiDaS' trimmed loss."""

import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.normalization import (
    normalize,
    over_regions,
    trimmed_difference,
)
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.statistics import count


@register("trimmed", "inverse_depth")
@computes
def trimmed(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.2,
    region: Bool[Array, "b h w"] | None = None,
) -> Float32[Array, ""]:
    """MiDaS' trimmed loss: sum of the smallest residuals over twice the pixels.

    The residuals of `affine_invariant`; the divisor counts the pixels left out too.

    Args:
        pred, target, mask, region: as in `affine_invariant`.
        trim: share of each image's pixels that is left out.

    Source: MiDaS, equation 7, with 20 % in its section 5. The authors' gist keeps
    every pixel, since it slices the pair that torch.sort returns.
    """

    def difference(pred, target, mask):
        maps = normalize(pred, mask), normalize(target, mask)
        valid = count(mask)
        share = jnp.floor((1.0 - trim) * valid) / valid
        return 0.5 * share * trimmed_difference(*maps, mask, trim)

    return over_regions(difference, pred, target, mask, region)
