"""What products compute in: operands rounded to a dtype, sums in float32."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.models.host import cpu_features


def einsum(equation: str, x: Array, y: Array, dtype: Any) -> Float32[Array, "..."]:
    """`jnp.einsum` of operands rounded to `dtype`, accumulated in float32."""

    def product(x, y):
        return jnp.einsum(
            equation,
            x,
            y,
            precision=precision(dtype),
            # A bfloat16 result would round each partial sum, and XLA:CPU then
            # computes in float32 anyway: slower and less exact.
            preferred_element_type=jnp.float32,
        )

    return _rounded(product, x, y, dtype)


def convolve(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k l c o"],
    stride: int,
    padding: int,
    dtype: Any,
) -> Float32[Array, "b h2 w2 o"]:
    """Convolve NHWC maps, padded with zeros, by an HWIO kernel, both in `dtype`."""

    def product(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=precision(dtype),
        ).astype(jnp.float32)

    return _rounded(product, x, kernel, dtype)


def precision(dtype: Any) -> jax.lax.Precision | None:
    """Return the highest precision for float32, which TPUs and TF32 would cut.

    None, jax's default, where the caller has chosen that: TF32 is float32 under
    `jax.default_matmul_precision("tensorfloat32")`.
    """
    if jnp.dtype(dtype) != jnp.float32:
        return jax.lax.Precision.DEFAULT
    config: Any = jax.config
    if config.jax_default_matmul_precision is not None:
        return None
    return jax.lax.Precision.HIGHEST


def _rounded(
    product: Callable[[Array, Array], Array], x: Array, y: Array, dtype: Any
) -> Array:
    """Apply `product` to operands rounded to `dtype`, widened where that is faster.

    On x86 without AMX, XLA's bfloat16 products take 1.6 times as long as float32
    ones. Products of bfloat16 numbers are exact in float32, so widening the rounded
    operands gives the same terms, summed in another order.
    """
    x, y = x.astype(dtype), y.astype(dtype)
    if jnp.dtype(dtype) != jnp.bfloat16 or not _slow_bfloat16():
        return product(x, y)

    def widened(x, y):
        return product(x.astype(jnp.float32), y.astype(jnp.float32))

    return jax.lax.platform_dependent(x, y, cpu=widened, default=product)


@functools.cache
def _slow_bfloat16() -> bool:
    """Whether this machine's CPU is known to lack units for bfloat16 products."""
    features = cpu_features().split()
    return "sse2" in features and "amx_bf16" not in features
