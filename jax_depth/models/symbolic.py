"""Resize weights for sizes that are not known while tracing.

`jax.export` traces a network once for every batch, height and width. There NumPy cannot
build the matrices of `resize.py`, so the program builds them when it runs, by the same
formulas in float32. Sizes are symbolic dimensions: `isinstance(n, int)` is false.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float32


def is_symbolic(*sizes: Any) -> bool:
    """Whether any of the sizes is known at run time only."""
    return not all(isinstance(size, int) for size in sizes)


def as_float(size: Any) -> Float32[Array, ""]:
    """Return a size as a number of the program."""
    return jnp.asarray(size).astype(jnp.float32)


def neighbours(n_in: Any, n_out: Any) -> tuple[Array, Array, Array]:
    """Return what `resize._neighbours` returns: int32, int32 and float32 (n_out,)."""
    # One output has step 0 / 1, as there.
    step = (as_float(n_in) - 1) / jnp.maximum(as_float(n_out) - 1, 1.0)
    step = jnp.where(as_float(n_out) > 1, step, 0.0)
    position = step * jnp.arange(n_out, dtype=jnp.float32)
    last = jnp.asarray(n_in).astype(jnp.int32) - 1
    low = jnp.minimum(jnp.floor(position).astype(jnp.int32), last)
    return low, jnp.minimum(low + 1, last), position - low.astype(jnp.float32)


def bilinear_weights(n_in: Any, n_out: Any) -> Float32[Array, "o i"]:
    """Return the (n_out, n_in) matrix of align-corners interpolation."""
    low, high, fraction = neighbours(n_in, n_out)
    return _scatter(n_in, [(low, 1 - fraction), (high, fraction)])


def bicubic_weights(n_in: Any, n_out: Any, offset: Any) -> Float32[Array, "o i"]:
    """Return the (n_out, n_in) matrix of torch's cubic, a = -0.75.

    Args:
        n_in, n_out: sizes.
        offset: added to `n_out` where the step is computed; a number or a scalar array.
    """
    step = as_float(n_in) / (as_float(n_out) + offset)
    position = step * (jnp.arange(n_out, dtype=jnp.float32) + 0.5) - 0.5
    low = jnp.floor(position)
    last = jnp.asarray(n_in).astype(jnp.int32) - 1
    taps = []
    for shift in (-1, 0, 1, 2):
        index = jnp.clip(low.astype(jnp.int32) + shift, 0, last)
        taps.append((index, _cubic(position - low - shift, -0.75)))
    return _scatter(n_in, taps)


def antialiased_weights(n_in: Any, n_out: Any) -> Float32[Array, "o i"]:
    """Return the (n_out, n_in) matrix of torch's antialiased cubic, a = -0.5."""
    step = as_float(n_in) / as_float(n_out)
    stretch = jnp.maximum(step, 1.0)
    centre = (step * (jnp.arange(n_out, dtype=jnp.float32) + 0.5))[:, None]
    first = jnp.maximum(jnp.floor(centre - 2 * stretch + 0.5), 0)
    last = jnp.minimum(jnp.floor(centre + 2 * stretch + 0.5), as_float(n_in))
    source = jnp.arange(n_in, dtype=jnp.float32)[None, :]
    weights = _cubic((source - centre + 0.5) / stretch, -0.5)
    weights = jnp.where((source >= first) & (source < last), weights, 0.0)
    return weights / weights.sum(1, keepdims=True)


def _scatter(n_in: Any, taps: list[tuple[Array, Array]]) -> Float32[Array, "o i"]:
    columns = jnp.arange(n_in, dtype=jnp.int32)
    return sum(
        jnp.where(index[:, None] == columns[None, :], weight[:, None], 0.0)
        for index, weight in taps
    )  # pyright: ignore[reportReturnType]


def _cubic(t: Float32[Array, "..."], a: float) -> Float32[Array, "..."]:
    t = jax.lax.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return jnp.where(t <= 1, near, jnp.where(t < 2, far, 0.0))
