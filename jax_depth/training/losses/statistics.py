"""Statistics under a mask, per image: medians, spreads, means, the worst pixels.

No boolean indexing and no sort, so that shapes are static and CPUs are quick.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Int

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32

# Fewer valid pixels than this say nothing about a scale and a shift.
MIN_PIXELS = 10
# A spread below this share of the median counts as none: dividing by it would give
# gradients of 1e5 where a prediction is nearly constant.
MIN_SPREAD = 1e-3
TINY = 1e-6
# XLA may compute an array anew for each of its uses, fusing a product and a sum into an
# FMA in one and not in another, on any device. So a value that a search found is found
# again in the array only to a rounding, this share of it or of the greatest value.
ROUNDING = 2.0**-22


@computes
def median_and_spread(
    x: Float[Array, "b h w"], mask: Bool[Array, "b h w"]
) -> tuple[Float32[Array, " b"], Float32[Array, " b"]]:
    """Return each image's median and mean |x - median|, both 0 without pixels."""
    x = masked(x, mask)
    t = masked_median(x, mask)
    return t, masked_mean(jnp.abs(x - column(t)), mask)


def masked_median(x, mask) -> Float32[Array, " b"]:
    """Return numpy's median (mean of the two middle values), 0 without pixels.

    The search is outside the gradient, which goes to the pixels that hold the
    middle values, shared among ties.
    """
    x, mask = x.reshape(x.shape[0], -1), mask.reshape(mask.shape[0], -1)
    n = mask.sum(-1)

    fixed = jax.lax.stop_gradient(x)
    low = order_statistic(fixed, mask, jnp.maximum(n - 1, 0) // 2)
    finite = mask & jnp.isfinite(fixed)
    slack = ROUNDING * jnp.where(finite, jnp.abs(fixed), 0.0).max(-1)
    # The upper middle value is the lower one, or the least value above it.
    until = (low + slack)[:, None]
    above = jnp.where(mask & (fixed > until), fixed, jnp.inf).min(-1)
    reached = (mask & (fixed <= until)).sum(-1) > n // 2
    high = jnp.where(reached, low, above)

    def value(middle):
        hit = finite & (jnp.abs(fixed - middle[:, None]) <= slack[:, None])
        ties = jnp.maximum(hit.sum(-1), 1).astype(jnp.float32)
        # 0, with the gradient of the pixels.
        return middle + jnp.where(hit, x - fixed, 0.0).sum(-1) / ties

    return jnp.where(n > 0, 0.5 * (value(low) + value(high)), 0.0)


def smallest(residual, mask, trim: float) -> Bool[Array, "b h w"]:
    """Return the mask without the `trim` share of largest residuals per image."""
    shape = residual.shape
    residual = jax.lax.stop_gradient(residual).reshape(shape[0], -1)
    mask = mask.reshape(shape[0], -1)
    valid = mask.sum(-1).astype(jnp.float32)
    kept = jnp.floor((1.0 - trim) * valid).astype(jnp.int32)
    threshold = order_statistic(residual, mask, jnp.maximum(kept - 1, 0))
    until = (1.0 + ROUNDING) * threshold[:, None]
    return (mask & (residual <= until)).reshape(shape)


@computes
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


def masked(x, mask, fill: float = 0.0) -> Float32[Array, "b h w"]:
    return jnp.where(mask, x.astype(jnp.float32), fill)


def masked_mean(x, mask) -> Float32[Array, " b"]:
    return jnp.where(mask, x, 0.0).sum((1, 2)) / count(mask)


def count(mask) -> Float32[Array, " b"]:
    return jnp.maximum(mask.sum((1, 2)), 1).astype(jnp.float32)


def mean_over_images(loss, valid) -> Float32[Array, ""]:
    total = jnp.where(valid, loss, 0.0).sum()
    return total / jnp.maximum(valid.sum(), 1).astype(jnp.float32)


def spread_floor(t):
    return MIN_SPREAD * jax.lax.stop_gradient(jnp.abs(t)) + TINY


def column(x):
    return x[:, None, None]
