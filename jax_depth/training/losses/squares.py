"""MiDaS' first loss: squares after the best scale and shift."""

import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.normalization import over_regions
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.statistics import (
    column,
    masked,
    masked_mean,
    spread_floor,
)


@register("least_squares", "inverse_depth")
@computes
def least_squares(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    region: Bool[Array, "b h w"] | None = None,
) -> Float32[Array, ""]:
    """Half the mean squared difference after the best scale and shift of `pred`.

    Source: MiDaS, equations 3 and 4.
    """

    def difference(pred, target, mask):
        square = jnp.square(fitted(pred, target, mask) - masked(target, mask))
        return 0.5 * masked_mean(square, mask)

    return over_regions(difference, pred, target, mask, region)


def fitted(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> Float32[Array, "b h w"]:
    """Return `pred` at the best scale and shift, see `fit_least_squares`."""
    scale, shift = fit_least_squares(pred, target, mask)
    return column(scale) * masked(pred, mask) + column(shift)


@computes
def fit_least_squares(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> tuple[Float32[Array, " b"], Float32[Array, " b"]]:
    """Return each image's (scale, shift) least squares in scale pred + shift - target.

    Both sides are centred first: in float32 the textbook normal equations have a
    determinant of the wrong sign for outputs around 100. A constant prediction gets
    scale 0 and the target's mean.
    """
    x, y = masked(pred, mask), masked(target, mask)
    mean_x, mean_y = masked_mean(x, mask), masked_mean(y, mask)
    x, y = x - column(mean_x), y - column(mean_y)
    energy = masked_mean(jnp.square(x), mask)
    floor = jnp.square(spread_floor(mean_x))
    scale = masked_mean(x * y, mask) / jnp.maximum(energy, floor)
    return scale, mean_y - scale * mean_x
