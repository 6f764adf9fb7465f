"""SiLog, the loss of metric depth."""

import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.statistics import (
    TINY,
    masked,
    masked_mean,
    mean_over_images,
)


@register("silog", "metric_depth")
@computes
def silog(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    variance_focus: float = 0.5,
) -> Float32[Array, ""]:
    """Scale-invariant logarithmic loss: sqrt(mean g^2 - variance_focus mean(g)^2).

    g = log(target) - log(pred), natural. With `variance_focus` 1 the loss ignores
    a common factor, with 0 it is the root mean square of g.

    Args:
        pred: depth in metres; values below 1e-6 count as 1e-6.
        target: depth in metres, positive under the mask.
        mask: True where `target` is known.
        variance_focus: 0.5 in Depth Anything V2's metric fine-tuning.

    Source: Eigen et al. 2014; Depth Anything V2 `metric_depth/util/loss.py`, which
    pools the pixels of a batch where this averages over images.
    """
    log_pred = jnp.log(jnp.maximum(masked(pred, mask, 1.0), TINY))
    g = jnp.log(jnp.maximum(masked(target, mask, 1.0), TINY)) - log_pred
    square = masked_mean(jnp.square(g), mask)
    variance = square - variance_focus * jnp.square(masked_mean(g, mask))
    # Rounding can leave a tiny negative value, and sqrt has no gradient at 0.
    alive = variance > TINY**2
    root = jnp.sqrt(jnp.where(alive, variance, 1.0))
    return mean_over_images(jnp.where(alive, root, 0.0), mask.any((1, 2)))
