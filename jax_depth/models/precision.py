"""What products compute in: operands rounded to a dtype, sums in float32."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.models.forms import forms
from jax_depth.models.products import Way, products


def einsum(
    equation: str, x: Array, y: Array, dtype: Any, *, compact: bool = False
) -> Float32[Array, "..."]:
    """`jnp.einsum` of operands rounded to `dtype`, accumulated in float32.

    The backward products of a bfloat16 einsum round the cotangent as well, so that
    they run on the same units; the gradient of a float32 operand, such as a kernel, is
    summed and returned in float32.

    Args:
        equation: of two operands; an index of one stands in the other or the result.
        x, y: operands.
        dtype: what they are rounded to.
        compact: let a GPU write a bfloat16 result, summed in float32 and rounded once.
            For layers, whose results are read and rounded again soon after; not for
            logits.
    """
    equation = _without_ellipsis(equation, x.ndim)
    if jnp.dtype(dtype) == jnp.float32 or not forms().rounded_cotangents:
        return _product(equation, x, y, dtype, compact)
    dtypes = jnp.dtype(dtype), jnp.dtype(x.dtype), jnp.dtype(y.dtype)
    return _rounded_einsum(equation, dtypes, compact, x, y)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _rounded_einsum(equation, dtypes, compact, x, y):
    return _product(equation, x, y, dtypes[0], compact)


def _rounded_forward(equation, dtypes, compact, x, y):
    # Rounded operands are what the backward pass keeps: half the memory.
    x, y = x.astype(dtypes[0]), y.astype(dtypes[0])
    return _product(equation, x, y, dtypes[0], compact), (x, y)


def _rounded_backward(equation, dtypes, compact, operands, cotangent):
    dtype, x_dtype, y_dtype = dtypes
    x, y = operands
    (of_x, of_y), result = equation.split("->")[0].split(","), equation.split("->")[1]
    to_x = _product(f"{result},{of_y}->{of_x}", cotangent, y, dtype, compact)
    to_y = _product(f"{of_x},{result}->{of_y}", x, cotangent, dtype, False)
    return to_x.astype(x_dtype), to_y.astype(y_dtype)


_rounded_einsum.defvjp(_rounded_forward, _rounded_backward)


def _product(equation: str, x: Array, y: Array, dtype: Any, compact: bool) -> Array:
    product = functools.partial(_summed, equation, dtype)

    def small(x, y):
        return product(x, y, jnp.bfloat16).astype(jnp.float32)

    compact = compact and jnp.dtype(dtype) == jnp.bfloat16 and forms().rounded_results
    return _rounded("product", product, x, y, dtype, {"cuda": small} if compact else {})


def _summed(equation: str, dtype: Any, x: Array, y: Array, result=jnp.float32) -> Array:
    return jnp.einsum(
        equation,
        x,
        y,
        precision=precision(dtype),
        # A bfloat16 result would round each partial sum on a CPU, which then
        # computes in float32 anyway: slower and less exact.
        preferred_element_type=result,
    )


def _without_ellipsis(equation: str, rank: int) -> str:
    """Write letters for the axes that "..." stands for: "...c,cd->...d"."""
    axes = rank - len(equation.split(",")[0].replace("...", ""))
    return equation.replace("...", "zyxwvu"[:axes])


def convolve(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k l c o"],
    stride: int,
    padding: int,
    dtype: Any,
) -> Float32[Array, "b h2 w2 o"]:
    """Convolve NHWC maps, padded with zeros, by an HWIO kernel, both in `dtype`.

    A bfloat16 convolution that is left to XLA gives bfloat16 results, as layers'
    products do on a GPU; what is returned is float32 all the same.
    """
    product = functools.partial(_convolved, stride, padding, dtype)
    return _rounded("convolution", product, x, kernel, dtype)


def _convolved(stride: int, padding: int, dtype: Any, x: Any, kernel: Any) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision(dtype),
    ).astype(jnp.float32)


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
    kind: Literal["product", "convolution"],
    product: Callable[[Array, Array], Array],
    x: Array,
    y: Array,
    dtype: Any,
    branches: Mapping[str, Callable[[Array, Array], Array]] = {},
) -> Array:
    """Apply `product` to operands rounded to `dtype`, on a CPU in its faster way.

    Args:
        branches: what other platforms do in place of `product`.
    """
    x, y = x.astype(dtype), y.astype(dtype)
    if jnp.dtype(dtype) == jnp.bfloat16 and getattr(products(), kind) == "widened":
        branches = {**branches, "cpu": functools.partial(_widened, product)}
    if not branches:
        return product(x, y)
    return jax.lax.platform_dependent(x, y, **branches, default=product)


def _widened(product: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """Multiply bfloat16 numbers in float32, which is exact; sums differ in order."""
    return product(x.astype(jnp.float32), y.astype(jnp.float32))


def bfloat16_product(
    x: Float32[Array, "b n c"], kernel: Float[Array, "c d"], way: Way
) -> Float32[Array, "b n d"]:
    """Compute a layer's product in one of the ways of a CPU, to be measured."""
    product = functools.partial(_summed, "bnc,cd->bnd", jnp.bfloat16)
    return _in_one_way(product, x, kernel, way)


def bfloat16_convolution(
    x: Float32[Array, "b h w c"], kernel: Float[Array, "k k c o"], way: Way
) -> Float32[Array, "b h w o"]:
    """Compute a 3 x 3 convolution in one of the ways of a CPU, to be measured."""
    product = functools.partial(_convolved, 1, 1, jnp.bfloat16)
    return _in_one_way(product, x, kernel, way)


def _in_one_way(product, x: Array, y: Array, way: Way) -> Array:
    x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
    return _widened(product, x, y) if way == "widened" else product(x, y)
