"""The best possible speed of a network on a chip, from the datasheet's rates."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.accelerators import Accelerator
from jax_depth.config import ModelConfig
from jax_depth.models.depth_anything import forward, param_shapes
from jax_depth.models.flops import forward_flops


@dataclasses.dataclass(frozen=True)
class Work:
    """The work of a forward pass per picture.

    Attributes:
        flops: of products and convolutions, a multiply-add counted as two.
        bytes: read from and written to the device's memory: every product and
            convolution reads its operands and writes its result once, and everything
            between them is fused. Weights count once per batch.
    """

    flops: float
    bytes: float

    def seconds(self, chip: Accelerator) -> float:
        """Return the least time per picture: the longer of arithmetic and memory."""
        return max(self.flops / chip.flops, self.bytes / chip.bandwidth)


def forward_work(config: ModelConfig, batch: int, size: tuple[int, int]) -> Work:
    """Return the work of `forward`.

    Args:
        config: the model; with `encoder.attention="flash"`, logits stay on the chip.
        batch: pictures per call.
        size: height and width in pixels.
    """
    pixels = jax.ShapeDtypeStruct((batch, *size, 3), jnp.float32)
    program = jax.make_jaxpr(functools.partial(forward, config=config))
    jaxpr = program(param_shapes(config), pixels)
    return Work(forward_flops(config, *size), _traffic(jaxpr.jaxpr) / batch)


def _traffic(jaxpr: Any) -> int:
    total, branch = 0, {}
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, list(_inner(equation))
        if name in ("dot_general", "conv_general_dilated", "pallas_call"):
            arrays = [*equation.invars, *equation.outvars]
            total += sum(_bytes(variable.aval) for variable in arrays)
        elif name == "platform_index":
            branch[equation.outvars[0]] = _accelerator(equation.params["platforms"])
        elif name == "cond":
            # The network branches on the platform only.
            total += _traffic(inner[branch[equation.invars[0]]])
        else:
            length = equation.params["length"] if name == "scan" else 1
            total += length * sum(map(_traffic, inner))
    return total


def _accelerator(platforms) -> int:
    """Return which branch a TPU takes: its own, or the default, None."""
    for i, names in enumerate(platforms):
        if names is None or "tpu" in names:
            return i
    raise ValueError(f"no branch for an accelerator among {platforms}")


def _inner(equation):
    """Yield the programs inside an equation."""
    for value in equation.params.values():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


def _bytes(aval) -> int:
    return math.prod(aval.shape) * aval.dtype.itemsize
