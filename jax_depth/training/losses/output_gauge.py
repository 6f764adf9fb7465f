"""Keeps a relative output's scale and shift in place, which no other term sees."""

import jax
import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.normalization import usable
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.statistics import median_and_spread


@computes
def gauge(
    raw: Float32[Array, "b h w"],
    target: Float32[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> Float32[Array, " b"]:
    """Return how far each output is from spread 1 and from zero at infinity.

    The other relative terms see neither the output's scale nor its shift, and nothing
    else holds them: in a network trained from scratch they drift by orders of
    magnitude, the coarse path drowns the fine ones, and the final ReLU cuts whole
    pictures off.

    The median over the spread is compared with the target's, up to 3: in a picture
    with sky the sky comes to lie at 0, and a wall far from everything at 3.
    """
    t, s = median_and_spread(raw, mask)
    t_target, s_target = median_and_spread(target, mask)
    wanted = jnp.clip(t_target / jnp.maximum(s_target, 1e-6), 0.0, 3.0)
    held = jnp.maximum(jax.lax.stop_gradient(s), 0.1)
    distance = jnp.abs(t / held - wanted) + jnp.square(jnp.log(s + 1e-3))
    return jnp.where(mask.any((1, 2)), distance, 0.0)


@register("gauge", "inverse_depth")
def mean_gauge(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> Float32[Array, ""]:
    """Mean of `gauge` over the images that can be judged."""
    judged = mask & usable(target, mask)[:, None, None]
    some = jnp.maximum(judged.any((1, 2)).sum(), 1).astype(jnp.float32)
    return gauge(pred, target, judged).sum() / some
