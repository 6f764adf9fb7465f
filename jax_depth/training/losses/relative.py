"""Losses that leave a map's scale and shift free: MiDaS, Depth Anything V1 and V2."""

import jax.numpy as jnp

from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.statistics import (
    MIN_PIXELS,
    column,
    count,
    masked,
    masked_mean,
    mean_over_images,
    median_and_spread,
    smallest,
    spread_floor,
)


def normalize(
    x: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> Float32[Array, "b h w"]:
    """Return (x - median) / mean |x - median| over each image's mask, 0 elsewhere.

    The result does not change when an image is shifted or scaled by a positive
    factor. A map that is constant under its mask becomes 0.

    Source: Depth Anything V1, section 3.1, equation 2; MiDaS, equation 5.
    """
    t, s = median_and_spread(x, mask)
    s = jnp.maximum(s, spread_floor(t))
    x = masked(x, mask)
    return jnp.where(mask, (x - column(t)) / column(s), 0.0)


def usable(
    target: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> Bool[Array, " b"]:
    """Return which images have enough valid pixels and a target that varies."""
    t, s = median_and_spread(target, mask)
    return (mask.sum((1, 2)) >= MIN_PIXELS) & (s > spread_floor(t))


def affine_invariant(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.0,
) -> Float32[Array, ""]:
    """Mean absolute difference of the two normalised maps.

    Args:
        pred: prediction, any scale and shift; of the kind of `target`.
        target: disparity for the published recipes; sky is 0.
        mask: True where `target` is known.
        trim: share of each image's valid pixels, those of largest residual, that
            is left out; the mean is over the kept ones. 0.1 in Depth Anything V2.

    Source: Depth Anything V1, section 3.1; trimming as V2, section 5.2 (per image).
    """
    difference = trimmed_difference(
        normalize(pred, mask), normalize(target, mask), mask, trim
    )
    return mean_over_images(difference, usable(target, mask))


def trimmed(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.2,
) -> Float32[Array, ""]:
    """MiDaS' trimmed loss: sum of the smallest residuals over twice the pixels.

    The residuals of `affine_invariant`; the divisor counts the pixels left out too.

    Args:
        pred, target, mask: as in `affine_invariant`.
        trim: share of each image's pixels that is left out.

    Source: MiDaS, equation 7, with 20 % in its section 5. The authors' gist keeps
    every pixel, since it slices the pair that torch.sort returns.
    """
    kept = trimmed_difference(
        normalize(pred, mask), normalize(target, mask), mask, trim
    )
    valid = count(mask)
    share = jnp.floor((1.0 - trim) * valid) / valid
    return mean_over_images(0.5 * share * kept, usable(target, mask))


def least_squares(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> Float32[Array, ""]:
    """Half the mean squared difference after the best scale and shift of `pred`.

    Source: MiDaS, equations 3 and 4.
    """
    scale, shift = fit_least_squares(pred, target, mask)
    fitted = column(scale) * masked(pred, mask) + column(shift)
    square = jnp.square(fitted - masked(target, mask))
    return mean_over_images(0.5 * masked_mean(square, mask), usable(target, mask))


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


def gradient_matching(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    scales: int = 4,
) -> Float32[Array, ""]:
    """Sum over scales of the mean absolute gradient of the difference.

    Args:
        pred, target: maps already brought to a common scale, see `normalize`.
        mask: True where `target` is known; a difference counts where both its
            pixels are valid.
        scales: number of scales; scale k takes every 2**k-th row and column,
            unfiltered. Divided by the number of valid pixels of the scale.

    Source: MiDaS, equation 11, where the sum is over four scales.
    """
    difference = masked(pred, mask) - masked(target, mask)
    total = jnp.zeros(mask.shape[0], jnp.float32)
    for k in range(scales):
        d, m = difference[:, :: 2**k, :: 2**k], mask[:, :: 2**k, :: 2**k]
        along_x = jnp.abs(d[:, :, 1:] - d[:, :, :-1])
        along_y = jnp.abs(d[:, 1:] - d[:, :-1])
        along_x = jnp.where(m[:, :, 1:] & m[:, :, :-1], along_x, 0.0).sum((1, 2))
        along_y = jnp.where(m[:, 1:] & m[:, :-1], along_y, 0.0).sum((1, 2))
        total = total + (along_x + along_y) / count(m)
    return mean_over_images(total, mask.any((1, 2)))
