"""The counter of operations: against arithmetic by hand, and against XLA."""

import jax
import jax.numpy as jnp
import pytest
import small_models
from flops_by_hand import by_hand

from jax_depth.catalog import MODELS
from jax_depth.models import dpt, hybrid, vit
from jax_depth.models.depth_anything import forward, param_shapes
from jax_depth.models.flops import count, forward_flops


def _stretch(x, size, *_, **__):
    """A resize without arithmetic."""
    return jnp.broadcast_to(x[:, :1, :1], (len(x), *size, x.shape[-1]))


@pytest.fixture
def free_resizes(monkeypatch):
    forward_flops.cache_clear()
    for module in (dpt, vit, hybrid):
        for resize in ("resize_bilinear", "resize_bicubic"):
            monkeypatch.setattr(module, resize, _stretch, raising=False)
    yield
    forward_flops.cache_clear()


@pytest.mark.parametrize(
    ("config", "height", "width"),
    [
        (small_models.ENCODER, 28, 42),
        (small_models.REGISTERS, 42, 28),
        (small_models.RELATIVE, 28, 42),
        (small_models.METRIC_SWIGLU, 42, 28),
        (MODELS["depth-anything-v2-small"].config, 518, 518),
        (MODELS["tiny"].config, 256, 320),
    ],
    ids=["encoder", "registers", "relative", "swiglu", "small", "tiny"],
)
def test_networks_have_the_operations_of_their_layers(
    config, height, width, free_resizes
):
    assert forward_flops(config, height, width) == by_hand(config, height, width)


def test_resizes_are_counted():
    config = small_models.RELATIVE
    assert forward_flops(config, 28, 42) > by_hand(config, 28, 42)


def test_small_agrees_with_xla():
    config = MODELS["depth-anything-v2-small"].config
    pixels = jax.ShapeDtypeStruct((1, 266, 266, 3), jnp.float32)
    run = jax.jit(lambda p, x: forward(p, x, config))
    analysis = run.lower(param_shapes(config), pixels).cost_analysis()
    ours = forward_flops(config, 266, 266)
    # XLA leaves products with the padding of convolutions out, counts the body of a
    # loop once, and norms, softmax and activations as well.
    assert analysis["flops"] == pytest.approx(ours, rel=0.08)


def test_loops_branches_and_transposed_convolutions():
    x = jnp.ones((4, 4))

    def looped(x):
        x = jax.lax.scan(lambda c, _: (c @ c, None), x, length=3)[0]
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x)

    assert count(jax.make_jaxpr(looped)(x).jaxpr) == 4 * 2 * 4**3
    picture, kernel = jnp.ones((1, 5, 6, 3)), jnp.ones((2, 2, 3, 7))

    def grown(x):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_transpose(
            x, kernel, (2, 2), "VALID", dimension_numbers=numbers
        )

    assert count(jax.make_jaxpr(grown)(picture).jaxpr) == 2 * 10 * 12 * 3 * 7


def test_wrong_size_is_named():
    with pytest.raises(ValueError, match="30"):
        forward_flops(small_models.RELATIVE, 28, 30)
