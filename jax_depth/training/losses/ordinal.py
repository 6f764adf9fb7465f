"""Ordinal loss: of two pixels, which is nearer."""

import jax
import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32, PRNGKeyArray
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.statistics import TINY, masked, mean_over_images


@register("ordinal", "inverse_depth")
@computes
def ordinal_ranking(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    key: PRNGKeyArray,
    pairs: int = 5000,
    tolerance: float = 0.03,
) -> Float32[Array, ""]:
    """Mean ranking loss of random pairs of valid pixels.

    A pair whose targets differ by more than the share `tolerance` costs
    log(1 + exp(-(a - b))), a being the prediction where the target is greater; a
    pair of about equal targets (a - b)^2.

    Args:
        pred: of the kind of `target`, any scale.
        target: positive under the mask; disparity or depth.
        mask: True where `target` is known.
        key: draws the pairs, the same for every image up to the image's mask; a new
            one at every step, or the same pixels are compared for a whole run.
        pairs: per image.
        tolerance: least relative difference that counts as an order.

    Source: Chen et al. 2016 (arXiv:1604.03901); pairs and tolerance as in
    YvanYin/Metric3D `training/mono/model/losses/Ranking.py`.
    """
    b = mask.shape[0]
    share = jax.random.uniform(key, (2, pairs), jnp.float32)
    flat = mask.reshape(b, -1)
    x, y = (masked(v, mask, 1.0).reshape(b, -1) for v in (pred, target))

    def draw(order, x, y):
        # The k-th valid pixel is where the running count reaches k + 1.
        number = jnp.floor(share * order[-1].astype(jnp.float32)).astype(jnp.int32)
        place = jnp.minimum(jnp.searchsorted(order, number + 1), order.size - 1)
        return x[place], y[place]

    x, y = jax.vmap(draw)(jnp.cumsum(flat, -1), x, y)
    difference = x[:, 0] - x[:, 1]
    first, second = jnp.maximum(y[:, 0], TINY), jnp.maximum(y[:, 1], TINY)
    limit = 1.0 + tolerance
    order = jnp.where(first >= limit * second, 1.0, 0.0)
    order = jnp.where(second >= limit * first, -1.0, order)
    ranked = jax.nn.softplus(-order * difference)
    loss = jnp.where(order == 0.0, jnp.square(difference), ranked).mean(-1)
    # A pair needs two pixels.
    return mean_over_images(loss, flat.sum(-1) >= 2)
