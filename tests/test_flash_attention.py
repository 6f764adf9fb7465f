"""The TPU kernel, interpreted, against the plain product: values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from jax_depth.models import flash_attention
from jax_depth.models.attention import attend
from jax_depth.models.flash_attention import tpu_kernel


def plain(q, k, v):
    """Attention by the book, in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    logits = q @ k.swapaxes(-1, -2)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


def plain_jax(q, k, v):
    weights = jax.nn.softmax(jnp.einsum("bhqc,bhkc->bhqk", q, k), axis=-1)
    return jnp.einsum("bhqk,bhkc->bhqc", weights, v)


def random_qkv(shape):
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(shape).astype(np.float32) for _ in range(3))


# Fewer than one block, and two blocks of which the last is mostly padding.
@pytest.mark.parametrize(("tokens", "block"), [(37, 512), (150, 128)])
def test_values_are_those_of_the_plain_product(tokens, block, monkeypatch):
    monkeypatch.setattr(flash_attention, "BLOCK", block)
    q, k, v = random_qkv((2, 2, tokens, 16))
    with pltpu.force_tpu_interpret_mode():
        y = tpu_kernel(q, k, v)
    assert y.dtype == jnp.float32
    expected = plain(q, k, v)
    assert np.abs(y - expected).max() < 1e-5 * np.abs(expected).max()


def test_bfloat16_rounds_the_operands_alone():
    q, k, v = (np.asarray(x.astype(jnp.bfloat16)) for x in random_qkv((1, 2, 37, 16)))
    with pltpu.force_tpu_interpret_mode():
        y = tpu_kernel(q, k, v, dtype=jnp.bfloat16)
    expected = plain(q, k, v)
    # Weights and result are rounded to bfloat16, 2^-9 each.
    assert np.abs(y - expected).max() < 2**-7 * np.abs(expected).max()


def test_gradients_are_those_of_the_plain_product(monkeypatch):
    monkeypatch.setattr(flash_attention, "BLOCK", 128)
    q, k, v = random_qkv((2, 1, 37, 16))
    weight = np.random.default_rng(1).standard_normal(q.shape).astype(np.float32)

    def gradient(attend):
        return jax.grad(lambda x: (attend(*x) * weight).sum())((q, k, v))

    with pltpu.force_tpu_interpret_mode():
        found = gradient(tpu_kernel)
    for one, other in zip(found, gradient(plain_jax), strict=True):
        assert np.abs(one - other).max() < 2e-5 * np.abs(other).max()


def test_elsewhere_than_on_a_tpu_the_plain_product_is_taken():
    q, k, v = random_qkv((2, 2, 37, 16))
    y = attend(q, k, v, "flash")
    assert np.abs(y - plain(q, k, v)).max() < 1e-5
