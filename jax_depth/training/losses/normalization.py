"""Maps brought to a common scale and shift, and which maps can be compared at all."""

import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.statistics import (
    MIN_PIXELS,
    column,
    masked,
    masked_mean,
    mean_over_images,
    median_and_spread,
    smallest,
    spread_floor,
)


@computes
def normalize(
    x: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> Float32[Array, "b h w"]:
    """Return (x - median) / mean |x - median| over each image's mask, 0 elsewhere.

    The result does not change when an image is shifted or scaled by a positive
    factor. A map that is constant under its mask becomes 0. The divisor is at least
    1e-3 of the median's size, so invariance to shifts ends where the spread is below
    that: such a map comes out the smaller, the farther it is from 0.

    Source: Depth Anything V1, section 3.1, equation 2; MiDaS, equation 5.
    """
    t, s = median_and_spread(x, mask)
    s = jnp.maximum(s, spread_floor(t))
    x = masked(x, mask)
    return jnp.where(mask, (x - column(t)) / column(s), 0.0)


@computes
def usable(
    target: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> Bool[Array, " b"]:
    """Return which images have enough valid pixels and a target that varies."""
    t, s = median_and_spread(target, mask)
    return (mask.sum((1, 2)) >= MIN_PIXELS) & (s > spread_floor(t))


@computes
def trimmed_difference(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.0,
) -> Float32[Array, " b"]:
    """Mean absolute difference per image of maps already brought to a common scale.

    The part of `affine_invariant` after its normalisation, which costs most of its
    time and which `gradient_matching` needs as well.
    """
    if not 0.0 <= trim < 1.0:
        raise ValueError(f"trim is a share of the pixels in [0, 1), got {trim}")
    residual = jnp.abs(masked(pred, mask) - masked(target, mask))
    return masked_mean(residual, smallest(residual, mask, trim) if trim else mask)


def over_regions(difference, pred, target, mask, region) -> Float32[Array, ""]:
    """Return the mean over images of a loss computed on each part of a picture alone.

    Args:
        difference: (pred, target, mask) -> (b,), a loss per image.
        pred, target, mask: of the loss.
        region: (b, h, w), True in the first part of a picture that CutMix pasted
            together, whose parts are weighted by area; None: all is one part.
    """
    if region is None:
        return mean_over_images(difference(pred, target, mask), usable(target, mask))
    total = jnp.zeros(mask.shape[0], jnp.float32)
    weight = jnp.zeros(mask.shape[0], jnp.float32)
    for part in (mask & region, mask & ~region):
        area = jnp.where(usable(target, part), part.sum((1, 2)), 0).astype(jnp.float32)
        total = total + area * difference(pred, target, part)
        weight = weight + area
    return mean_over_images(total / jnp.maximum(weight, 1.0), weight > 0)
