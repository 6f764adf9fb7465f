"""How many floating-point operations a forward pass takes, counted in its program.

Products and convolutions alone, a multiply-add counted as two, those of resizes
included; norms, softmax, activations and depthwise convolutions (of `tiny`, added tap
by tap) are a few percent more and run beside them. A
training step takes three times as many: one pass forward, and one each for the
gradients of activations and of weights.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jax_depth.config import ModelConfig
from jax_depth.models import architectures
from jax_depth.models.depth_anything import apply, check_size, features, param_shapes


@functools.cache
def forward_flops(config: ModelConfig, height: int, width: int) -> int:
    """Return the operations on one picture of `height` x `width` pixels.

    Args:
        config: the model, with or without a head.
        height, width: multiples of the patch size, as `forward` takes them.

    Raises:
        ValueError: sides that are not multiples of the patch size.
    """
    check_size((1, height, width, 3), config)
    if hasattr(config.encoder, "attention"):
        # Attention in blocks adds queries of zeros to fill the last one.
        encoder: Any = dataclasses.replace(config.encoder, attention="one_pass")
        config = dataclasses.replace(config, encoder=encoder)
    row = architectures.network_row(config)
    axis = () if row.axis is None else (1,)
    pixels = jax.ShapeDtypeStruct((1, *axis, height, width, 3), jnp.float32)
    more = {}
    if "prompt" in row.takes:  # whose size counts for its resizes alone
        more["prompt"] = jax.ShapeDtypeStruct((1, height, width), jnp.float32)
    run: Any = features if config.head is None else apply
    program = jax.make_jaxpr(lambda p, x, more: run(p, x, config, **more))(
        param_shapes(config), pixels, more
    )
    return count(program.jaxpr)


def count(jaxpr: core.Jaxpr) -> int:
    """Return the operations of products and convolutions in a program.

    The body of a scan counts as often as it runs, that of a `while` once, and of
    branches the longest.
    """
    return sum(map(_count_equation, jaxpr.eqns))


def _count_equation(equation: core.JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape  # pyright: ignore[reportAttributeAccessIssue]
        return 2 * _size(equation) * math.prod(left[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape  # pyright: ignore[reportAttributeAccessIssue]
        out = params["dimension_numbers"].rhs_spec[0]
        # Of a transposed convolution all but one in `lhs_dilation` are zeros.
        zeros = math.prod(params["lhs_dilation"])
        return 2 * _size(equation) * math.prod(kernel) // kernel[out] // zeros
    if name == "cond":
        return max(count(branch.jaxpr) for branch in params["branches"])
    inner = [j for value in params.values() if (j := _program(value)) is not None]
    return params.get("length", 1) * sum(map(count, inner))


def _size(equation: core.JaxprEqn) -> int:
    return math.prod(equation.outvars[0].aval.shape)  # pyright: ignore[reportAttributeAccessIssue]


def _program(value: Any) -> core.Jaxpr | None:
    if isinstance(value, core.ClosedJaxpr):
        return value.jaxpr
    return value if isinstance(value, core.Jaxpr) else None
