"""The metrics of `evaluation.metrics` for use inside a jitted step: batches, masks.

The same definitions over (b, h, w) with static shapes, in the dtype of the prediction:
float32 on accelerators, float64 under `jax.enable_x64`. `jax-depth eval` itself
computes in NumPy; these are for loops that must not leave the device.
"""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from jax_depth._forked import computes
from jax_depth._typing import Array


@computes
def align_disparity(
    pred: Float[Array, "b h w"],
    depth: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
) -> Float[Array, "b h w"]:
    """Return inverse depth as metres: least squares of scale and shift, per image.

    Args:
        pred: inverse depth of any scale and shift.
        depth: metres; anything where unknown, NaN included.
        mask: where depth is known and counts. An image without a pixel comes out at
            `max_depth`.
        min_depth, max_depth: metres the result is clipped to; 1 / `max_depth` is the
            floor of the aligned disparity.
    """
    x = jnp.where(mask, pred, 0)
    y = jnp.where(mask, 1 / jnp.where(mask, depth, 1), 0)
    n = jnp.maximum(mask.sum((1, 2), keepdims=True), 1).astype(pred.dtype)
    mean_x = x.sum((1, 2), keepdims=True) / n
    mean_y = y.sum((1, 2), keepdims=True) / n
    x = jnp.where(mask, pred - mean_x, 0)
    energy = jnp.square(x).sum((1, 2), keepdims=True)
    product = (x * (y - mean_y)).sum((1, 2), keepdims=True)
    # A constant prediction has energy 0 but for rounding of its mean.
    flat = energy <= n * jnp.square(8 * jnp.finfo(pred.dtype).eps * mean_x)
    scale = jnp.where(flat, 0, product / jnp.where(flat, 1, energy))
    disparity = scale * (pred - mean_x) + mean_y
    metres = 1 / jnp.maximum(disparity, 1 / max_depth)
    return jnp.clip(metres, min_depth, max_depth)


@computes
def masked_metrics(
    pred: Float[Array, "b h w"],
    depth: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> dict[str, Float[Array, " b"]]:
    """Return each image's metrics, as `depth_metrics` defines them, all but Spearman.

    Args:
        pred: positive metres, see `align_disparity`.
        depth: metres; anything where unknown, NaN included.
        mask: where depth is known and counts.

    Returns:
        abs_rel, sq_rel, rmse, rmse_log, log10, silog, silog_kitti, d1, d2, d3, and
        "pixels", how many counted. An image without a pixel has 0 everywhere: weigh
        images by `pixels > 0`.
    """
    pred, depth = jnp.where(mask, pred, 1), jnp.where(mask, depth, 1)
    pixels = mask.sum((1, 2))
    n = jnp.maximum(pixels, 1).astype(pred.dtype)

    def mean(x):
        return jnp.where(mask, x, 0).sum((1, 2)) / n

    error = pred - depth
    g = jnp.log(pred) - jnp.log(depth)
    ratio = jnp.maximum(pred / depth, depth / pred)
    square, first = mean(g**2), mean(g)
    spread = mean(jnp.square(g - first[:, None, None]))
    return {
        "abs_rel": mean(jnp.abs(error) / depth),
        "sq_rel": mean(error**2 / depth),
        "rmse": jnp.sqrt(mean(error**2)),
        "rmse_log": jnp.sqrt(square),
        "log10": mean(jnp.abs(g)) / jnp.log(jnp.asarray(10, pred.dtype)),
        # mean g^2 - mean(g)^2 / 2, written so that nothing cancels.
        "silog": jnp.sqrt(spread + first**2 / 2),
        "silog_kitti": 100 * jnp.sqrt(spread),
        **{f"d{i}": mean((ratio < 1.25**i).astype(pred.dtype)) for i in (1, 2, 3)},
        "pixels": pixels,
    }
