"""Gradient matching of logarithms, for sharp edges in metres."""

import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.gradients import gradient_matching
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.statistics import TINY, masked


@register("log_gradient", "metric_depth")
@computes
def log_gradient(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    scales: int = 4,
) -> Float32[Array, ""]:
    """Multi-scale gradient matching of logarithms, for sharp edges in metres.

    Args:
        pred, target: depth in metres; values below 1e-6 count as 1e-6.
        mask: True where `target` is known.
        scales: see `gradient_matching`.

    Source: `gradient_matching` (MiDaS, equation 11) of log depth, where a common
    factor cancels; no Depth Anything recipe states it.
    """
    log_pred = jnp.log(jnp.maximum(masked(pred, mask, 1.0), TINY))
    log_target = jnp.log(jnp.maximum(masked(target, mask, 1.0), TINY))
    return gradient_matching(log_pred, log_target, mask, scales)
