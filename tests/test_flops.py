"""Analytic operation counts against what the traced program holds."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
import small_models
from jax.extend import core

from jax_depth.catalog import MODELS
from jax_depth.config import EncoderConfig, ModelConfig
from jax_depth.models import dpt, hybrid, vit
from jax_depth.models.depth_anything import features, forward, param_shapes
from jax_depth.models.flops import forward_flops


def _one_pass(config):
    """Blocks would add queries of zeros, and a loop is counted once by XLA."""
    if not isinstance(config.encoder, EncoderConfig):
        return config
    encoder = dataclasses.replace(config.encoder, attention="one_pass")
    return dataclasses.replace(config, encoder=encoder)


def _trace(config: ModelConfig, height: int, width: int, batch: int = 1):
    pixels = jax.ShapeDtypeStruct((batch, height, width, 3), jnp.float32)
    config = _one_pass(config)
    run = features if config.head is None else forward
    if config.head is None:
        return jax.jit(lambda p, x: run(p, x, config)["tokens"]), pixels, config
    return jax.jit(lambda p, x: run(p, x, config)), pixels, config


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            if isinstance(value, core.ClosedJaxpr):
                yield from _equations(value.jaxpr)
            elif isinstance(value, core.Jaxpr):
                yield from _equations(value)


def _counted(jaxpr) -> int:
    """Products of two traced arrays and convolutions, weights of resizes left out."""
    total = 0
    for equation in _equations(jaxpr):
        shapes = [v.aval.shape for v in equation.invars]
        size = math.prod(equation.outvars[0].aval.shape)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += 2 * size * math.prod(shapes[0][i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            total += 2 * size * math.prod(shapes[1][:-1])
    return total


@pytest.mark.parametrize(
    ("config", "height", "width"),
    [
        (small_models.ENCODER, 28, 42),
        (small_models.REGISTERS, 42, 28),
    ],
    ids=["encoder", "registers"],
)
def test_encoder_is_exact(config, height, width):
    run, pixels, one_pass = _trace(config, height, width, batch=2)
    jaxpr = jax.make_jaxpr(run)(param_shapes(one_pass), pixels).jaxpr
    # The position embedding's resize is two products with constants.
    side, d = config.encoder.position_grid, config.encoder.width
    rows, columns = height // 14, width // 14
    resize = 2 * rows * side * side * d * (rows != side)
    resize += 2 * rows * columns * side * d * (columns != side)
    assert _counted(jaxpr) == 2 * forward_flops(config, height, width) + resize


def _stretch(x, size, *_, **__):
    """A resize without arithmetic."""
    return jnp.broadcast_to(x[:, :1, :1], (len(x), *size, x.shape[-1]))


@pytest.mark.parametrize(
    ("name", "height", "width", "share"),
    [
        # XLA counts also norms, softmax and activations: more of a small network.
        ("depth-anything-v2-small", 518, 518, 0.06),
        ("depth-anything-v2-large", 266, 392, 0.03),
        ("tiny", 256, 320, 0.20),
    ],
)
def test_networks_agree_with_xla(name, height, width, share, monkeypatch):
    # A resize is not part of the count, and dense products are but one way to do it.
    for module in (dpt, vit, hybrid):
        for resize in ("resize_bilinear", "resize_bicubic"):
            monkeypatch.setattr(module, resize, _stretch, raising=False)
    config = MODELS[name].config
    run, pixels, one_pass = _trace(config, height, width)
    analysis = run.lower(param_shapes(one_pass), pixels).cost_analysis()
    ours = forward_flops(config, height, width)
    # What it does not count is products with the padding of a convolution: of maps of
    # 19 x 28 and smaller they are some percent.
    assert 0.997 * ours <= analysis["flops"] <= ours * (1 + share)


def test_gated_mlp_counts_three_products():
    gated = forward_flops(small_models.METRIC_SWIGLU, 28, 28)
    plain = forward_flops(small_models.RELATIVE, 28, 28)
    tokens, width = 5, 64
    difference = 2 * tokens * width * (3 * 176 - 2 * 256)
    assert gated - plain == small_models.GELU.depth * difference


def test_wrong_size_is_named():
    with pytest.raises(ValueError, match="multiples of 14"):
        forward_flops(small_models.RELATIVE, 28, 30)
