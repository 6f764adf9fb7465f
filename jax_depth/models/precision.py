"""What products compute in: operands rounded to a dtype, sums in float32."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float32


def einsum(equation: str, x: Array, y: Array, dtype: Any) -> Float32[Array, "..."]:
    """`jnp.einsum` of operands rounded to `dtype`, accumulated in float32."""
    return jnp.einsum(
        equation,
        x.astype(dtype),
        y.astype(dtype),
        precision=precision(dtype),
        # A bfloat16 result would round each partial sum, and XLA:CPU then
        # computes in float32 anyway: slower and less exact.
        preferred_element_type=jnp.float32,
    )


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
