"""Training losses on dense depth: scale-and-shift-invariant, gradient, logarithmic.

Every loss takes (b, h, w) maps of any float precision and a boolean mask, computes
in float32 per image and returns the mean over the images that can be judged; an
image that cannot (see `usable`) weighs 0. Values under a False mask never matter,
NaN and infinity included, neither for the value nor for the gradient.

Sources: Ranftl et al. 2020 (MiDaS, arXiv:1907.01341), Yang et al. 2024 (Depth
Anything V1, arXiv:2401.10891 section 3.1; V2, arXiv:2406.09414 section 5.2), Eigen
et al. 2014 (arXiv:1406.2283). The MiDaS gist that most code copies takes the
median with invalid pixels as zeros and trims nothing; these follow the papers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Int

from jax_depth._typing import Array, Bool, Float, Float32

# Fewer valid pixels than this say nothing about a scale and a shift.
MIN_PIXELS = 10
# A spread below this share of the median counts as none: dividing by it would give
# gradients of 1e5 where a prediction is nearly constant.
MIN_SPREAD = 1e-3
_TINY = 1e-6


def normalize(
    x: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> Float32[Array, "b h w"]:
    """Return (x - median) / mean |x - median| over each image's mask, 0 elsewhere.

    The result does not change when an image is shifted or scaled by a positive
    factor. A map that is constant under its mask becomes 0.

    Source: Depth Anything V1, section 3.1, equation 2; MiDaS, equation 5.
    """
    t, s = median_and_spread(x, mask)
    s = jnp.maximum(s, _spread_floor(t))
    x = _masked(x, mask)
    return jnp.where(mask, (x - _column(t)) / _column(s), 0.0)


def usable(
    target: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> Bool[Array, " b"]:
    """Return which images have enough valid pixels and a target that varies."""
    t, s = median_and_spread(target, mask)
    return (mask.sum((1, 2)) >= MIN_PIXELS) & (s > _spread_floor(t))


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
    return _mean_over_images(difference, usable(target, mask))


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
    residual = jnp.abs(_masked(pred, mask) - _masked(target, mask))
    return _masked_mean(residual, _smallest(residual, mask, trim) if trim else mask)


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
    difference = _masked(pred, mask) - _masked(target, mask)
    total = jnp.zeros(mask.shape[0], jnp.float32)
    for k in range(scales):
        d, m = difference[:, :: 2**k, :: 2**k], mask[:, :: 2**k, :: 2**k]
        along_x = jnp.abs(d[:, :, 1:] - d[:, :, :-1])
        along_y = jnp.abs(d[:, 1:] - d[:, :-1])
        along_x = jnp.where(m[:, :, 1:] & m[:, :, :-1], along_x, 0.0).sum((1, 2))
        along_y = jnp.where(m[:, 1:] & m[:, :-1], along_y, 0.0).sum((1, 2))
        total = total + (along_x + along_y) / _count(m)
    return _mean_over_images(total, mask.any((1, 2)))


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
    log_pred = jnp.log(jnp.maximum(_masked(pred, mask, 1.0), _TINY))
    g = jnp.log(jnp.maximum(_masked(target, mask, 1.0), _TINY)) - log_pred
    square = _masked_mean(jnp.square(g), mask)
    variance = square - variance_focus * jnp.square(_masked_mean(g, mask))
    # Rounding can leave a tiny negative value, and sqrt has no gradient at 0.
    alive = variance > _TINY**2
    root = jnp.sqrt(jnp.where(alive, variance, 1.0))
    return _mean_over_images(jnp.where(alive, root, 0.0), mask.any((1, 2)))


def median_and_spread(
    x: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> tuple[Float32[Array, " b"], Float32[Array, " b"]]:
    """Return each image's median and mean |x - median|, both 0 without pixels."""
    x = _masked(x, mask)
    t = _masked_median(x, mask)
    return t, _masked_mean(jnp.abs(x - _column(t)), mask)


def _masked_median(x, mask) -> Float32[Array, " b"]:
    """Return numpy's median (mean of the two middle values), 0 without pixels.

    The search is outside the gradient, which goes to the pixels that hold the
    middle values, shared among ties.
    """
    x, mask = x.reshape(x.shape[0], -1), mask.reshape(mask.shape[0], -1)
    n = mask.sum(-1)

    fixed = jax.lax.stop_gradient(x)
    low = order_statistic(fixed, mask, jnp.maximum(n - 1, 0) // 2)
    # The upper middle value is the lower one, or the least value above it.
    above = jnp.where(mask & (fixed > low[:, None]), fixed, jnp.inf).min(-1)
    reached = (mask & (fixed <= low[:, None])).sum(-1) > n // 2
    high = jnp.where(reached, low, above)

    def value(middle):
        hit = mask & (x == middle[:, None])
        ties = jnp.maximum(hit.sum(-1), 1).astype(jnp.float32)
        return jnp.where(hit, x, 0.0).sum(-1) / ties

    return 0.5 * (value(low) + value(high))


def _smallest(residual, mask, trim: float) -> Bool[Array, "b h w"]:
    """Return the mask without the `trim` share of largest residuals per image."""
    shape = residual.shape
    residual = jax.lax.stop_gradient(residual).reshape(shape[0], -1)
    mask = mask.reshape(shape[0], -1)
    valid = mask.sum(-1).astype(jnp.float32)
    kept = jnp.floor((1.0 - trim) * valid).astype(jnp.int32)
    threshold = order_statistic(residual, mask, jnp.maximum(kept - 1, 0))
    return (mask & (residual <= threshold[:, None])).reshape(shape)


def order_statistic(
    x: Float32[Array, "b n"], mask: Bool[Array, "b n"], rank: Int[Array, " b"]
) -> Float32[Array, " b"]:
    """Return the masked value of 0-based `rank` in each row, exactly, without a sort.

    Finite floats order as their bit patterns do once negative ones are inverted;
    the value's 32 bits are found from the highest down, one count of smaller
    values per bit. At 160x160 this is some 20 times faster than XLA's sort on CPU.
    The result is meaningless (NaN) where `rank` is not below the number of values.
    """
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    top = jnp.uint32(1 << 31)
    key = jnp.where(bits >= top, ~bits, bits | top)
    key = jnp.where(mask, key, jnp.uint32(0xFFFFFFFF))

    def set_bit(i, prefix):
        trial = prefix | jax.lax.shift_right_logical(top, i.astype(jnp.uint32))
        smaller = (key < trial[:, None]).sum(-1)
        return jnp.where(smaller <= rank, trial, prefix)

    found = jax.lax.fori_loop(0, 32, set_bit, jnp.zeros(x.shape[0], jnp.uint32))
    bits = jnp.where(found >= top, found ^ top, ~found)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _masked(x, mask, fill: float = 0.0) -> Float32[Array, "b h w"]:
    return jnp.where(mask, x.astype(jnp.float32), fill)


def _masked_mean(x, mask) -> Float32[Array, " b"]:
    return jnp.where(mask, x, 0.0).sum((1, 2)) / _count(mask)


def _count(mask) -> Float32[Array, " b"]:
    return jnp.maximum(mask.sum((1, 2)), 1).astype(jnp.float32)


def _mean_over_images(loss, valid) -> Float32[Array, ""]:
    total = jnp.where(valid, loss, 0.0).sum()
    return total / jnp.maximum(valid.sum(), 1).astype(jnp.float32)


def _spread_floor(t):
    return MIN_SPREAD * jax.lax.stop_gradient(jnp.abs(t)) + _TINY


def _column(x):
    return x[:, None, None]
