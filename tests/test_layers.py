"""Single layers against the torch operators they copy, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jax_depth.models import attention, layers, precision

RNG = np.random.default_rng(0)


def _normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def _close(actual, expected, tolerance=1e-5):
    expected = np.asarray(expected)
    error = np.abs(np.asarray(actual) - expected).max() / expected.std()
    assert error < tolerance


def _four(*shape):
    return np.random.default_rng(1).normal(size=(4, *shape)).astype(np.float32)


@pytest.mark.parametrize("stride, padding, size", [(1, 1, (5, 8)), (2, 1, (6, 7))])
def test_conv(stride, padding, size):
    x, kernel, bias = _normal(2, *size, 4), _normal(3, 3, 4, 6), _normal(6)
    layer = layers.Conv(6, 3, stride, padding)
    actual = layer.apply({"params": {"kernel": kernel, "bias": bias}}, x)
    expected = F.conv2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2)),
        torch.from_numpy(kernel.transpose(3, 2, 0, 1)),
        torch.from_numpy(bias),
        stride,
        padding,
    )
    _close(actual, expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize("factor", [2, 4])
def test_transposed_conv(factor):
    x, bias = _normal(2, 3, 5, 4), _normal(6)
    weight = _normal(4, 6, factor, factor)
    params = {"kernel": weight.transpose(2, 3, 0, 1), "bias": bias}
    actual = layers.UpConv(6, factor).apply({"params": params}, x)
    expected = F.conv_transpose2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2)),
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        stride=factor,
    )
    _close(actual, expected.permute(0, 2, 3, 1))


def test_layer_norm_far_from_zero():
    x, scale, bias = 50 + _normal(2, 7, 32), _normal(32), _normal(32)
    actual = layers.LayerNorm().apply({"params": {"scale": scale, "bias": bias}}, x)
    expected = F.layer_norm(
        torch.from_numpy(x).double(),
        (32,),
        torch.from_numpy(scale).double(),
        torch.from_numpy(bias).double(),
        eps=1e-6,
    )
    # Float32 numbers near 50 are 4e-6 apart, and the mean is rounded to one of them.
    _close(actual, expected, 3e-5)


def test_attention_and_its_gradient():
    b, n, heads, d = 2, 11, 3, 24
    x, cotangent = _normal(b, n, d), _normal(b, n, d)
    weights = [_normal(d, 3 * d) / 4, _normal(3 * d), _normal(d, d) / 4, _normal(d)]
    params = {
        "qkv": {"kernel": weights[0], "bias": weights[1]},
        "proj": {"kernel": weights[2], "bias": weights[3]},
    }
    layer = layers.Attention(heads)
    actual, pullback = jax.vjp(lambda x: layer.apply({"params": params}, x), x)

    t = torch.from_numpy(x).requires_grad_()
    w = [torch.from_numpy(weight) for weight in weights]
    qkv = (t @ w[0] + w[1]).reshape(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(b, n, d)
    y = y @ w[2] + w[3]
    y.backward(torch.from_numpy(cotangent))
    _close(actual, y.detach())
    _close(pullback(cotangent)[0], t.grad)


@pytest.mark.parametrize("heads, n, count", [(2, 1101, 2), (1, 2051, 5)])
def test_blocked_attention_and_its_gradient(heads, n, count):
    # Two pictures at once.
    assert -(-2 * n * n // attention._BLOCK_LOGITS) == count and n % count
    q, k, v, cotangent = (_normal(2, heads, n, 4) for _ in range(4))

    def run(method):
        return jax.vjp(lambda *x: attention.attend(*x, method), q, k, v)

    inputs = [torch.from_numpy(x).double().requires_grad_() for x in (q, k, v)]
    expected = F.scaled_dot_product_attention(*inputs, scale=1.0)
    expected.backward(torch.from_numpy(cotangent).double())
    for method in ("one_pass", "blocked", "auto"):
        actual, pullback = run(method)
        # Sums over a thousand keys: float32 torch is 1.3e-5 and 8e-5 off float64.
        _close(actual, expected.detach(), 3e-5)
        for gradient, t in zip(pullback(cotangent), inputs, strict=True):
            _close(gradient, t.grad, 1e-4)


@pytest.mark.parametrize("method", ["one_pass", "blocked"])
def test_blocks_of_accelerators_equal_those_of_cpus(method):
    # What runs on CPU goes head by head; elsewhere all heads share a block.
    q, k, v = (_normal(2, 3, 1100, 4) for _ in range(3))
    expected = attention.attend(q, k, v, method)
    # Two float32 sums over a thousand keys; see above.
    _close(attention._blocked(q, k, v, jnp.float32), expected, 3e-5)


@pytest.mark.parametrize("n", [20, 500])
def test_attention_of_few_tokens(n):
    # On a CPU the second goes head by head, and its derivatives in one pass.
    q, k, v, cotangent = _four(1, 5, n, 4)
    assert (5 * n * n > attention._ONE_PASS_LOGITS) == (n == 500)
    inputs = [torch.from_numpy(x).double().requires_grad_() for x in (q, k, v)]
    expected = F.scaled_dot_product_attention(*inputs, scale=1.0)
    expected.backward(torch.from_numpy(cotangent).double())
    actual, pullback = jax.vjp(attention.attend, q, k, v)
    _close(attention.attend(q, k, v), expected.detach())
    _close(actual, expected.detach())
    for gradient, t in zip(pullback(cotangent), inputs, strict=True):
        _close(gradient, t.grad, 3e-5)
    # A derivative in one direction, of one operand.
    _, tangent = jax.jit(
        lambda k, dk: jax.jvp(lambda k: attention.attend(q, k, v), [k], [dk])
    )(k, k)
    expected = np.vdot(pullback(cotangent)[1], k)
    assert np.vdot(cotangent, tangent) == pytest.approx(expected, rel=1e-4)


def test_weights_are_summed_by_the_second_product():
    q, k, v, cotangent = _four(1, 2, 1500, 4)
    inputs = [torch.from_numpy(x).double().requires_grad_() for x in (q, k, v)]
    expected = F.scaled_dot_product_attention(*inputs, scale=1.0)
    expected.backward(torch.from_numpy(cotangent).double())

    def fast(*x):
        return attention._blocked(*x, jnp.float32, fast=True)

    actual, pullback = jax.vjp(fast, q, k, v)
    _close(actual, expected.detach(), 3e-5)
    for gradient, t in zip(pullback(cotangent), inputs, strict=True):
        _close(gradient, t.grad, 1e-4)


@pytest.mark.parametrize("way", ["native", "widened"])
def test_blocked_attention_in_bfloat16(way, monkeypatch):
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", way)
    q, k, v, cotangent = _four(1, 2, 1500, 4)

    def run(dtype):
        def attend(*x):
            return attention.attend(*x, "blocked", dtype)

        y, pullback = jax.vjp(attend, q, k, v)
        return y, *pullback(cotangent)

    # Operands of 8 bits are off by a thousandth each (root mean square).
    for actual, expected in zip(run(jnp.bfloat16), run(jnp.float32), strict=True):
        assert jnp.std(actual - expected) < 0.02 * jnp.std(expected)


@pytest.mark.parametrize("method", ["one_pass", "blocked"])
def test_large_logits_do_not_overflow(method):
    q, k, v = 20 * _normal(3, 1, 2, 50, 4)
    inputs = [torch.from_numpy(x).double() for x in (q, k, v)]
    expected = F.scaled_dot_product_attention(*inputs, scale=1.0)
    # float32 holds logits around 1000 to 1e-4.
    _close(attention.attend(q, k, v, method), expected, 1e-3)


def test_an_unknown_attention_is_named():
    x = _normal(1, 1, 3, 4)
    with pytest.raises(ValueError, match="'fast' is unknown; use 'auto'"):
        attention.attend(x, x, x, "fast")


@pytest.mark.parametrize("way", ["native", "widened"])
def test_bfloat16_products_have_the_same_terms_on_every_cpu(way, monkeypatch):
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", way)
    x, y = _normal(2, 9, 7, 300), _normal(300, 5)
    kernel = _normal(3, 3, 300, 5)
    half = [np.asarray(a, jnp.bfloat16).astype(np.float64) for a in (x, y, kernel)]
    actual = precision.einsum("bhwc,cd->bhwd", x, y, jnp.bfloat16)
    _close(actual, half[0] @ half[1], 1e-6)
    actual = precision.convolve(x, kernel, 1, 1, jnp.bfloat16)
    nchw, oihw = half[0].transpose(0, 3, 1, 2), half[2].transpose(3, 2, 0, 1)
    expected = F.conv2d(*(torch.from_numpy(a.copy()) for a in (nchw, oihw)), padding=1)
    # With units for bfloat16 the result of a convolution is rounded to it as well;
    # otherwise a sum of n terms in float32, in any order, is off by sqrt(n) half steps.
    bound = 2**-6 if way == "native" else np.sqrt(9 * 300) * 2**-24
    _close(actual, expected.permute(0, 2, 3, 1), bound)


@pytest.mark.parametrize("way", ["native", "widened"])
def test_other_platforms_get_bfloat16_products_from_every_host(way, monkeypatch):
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", way)
    x = jax.ShapeDtypeStruct((8, 8), jnp.float32)

    def product(x, y):
        return precision.einsum("ab,bc->ac", x, y, jnp.bfloat16)

    for platform in ("tpu", "cuda"):
        text = (
            jax.jit(product).trace(x, x).lower(lowering_platforms=(platform,)).as_text()
        )
        assert "(tensor<8x8xbf16>, tensor<8x8xbf16>) -> tensor<8x8xf32>" in text


def test_mlp_uses_the_exact_gelu():
    x = _normal(1, 5, 8)
    params = {
        "fc1": {"kernel": _normal(8, 16), "bias": _normal(16)},
        "fc2": {"kernel": _normal(16, 8), "bias": _normal(8)},
    }
    actual = layers.Mlp(16).apply({"params": params}, x)
    fc1, fc2 = params["fc1"], params["fc2"]
    hidden = F.gelu(torch.from_numpy(x @ fc1["kernel"] + fc1["bias"])).numpy()
    _close(actual, hidden @ fc2["kernel"] + fc2["bias"])


def test_swiglu_gates_with_its_first_half():
    x = _normal(1, 5, 8)
    params = {
        "w12": {"kernel": _normal(8, 32), "bias": _normal(32)},
        "w3": {"kernel": _normal(16, 8), "bias": _normal(8)},
    }
    actual = layers.SwiGlu(16).apply({"params": params}, x)
    halves = torch.from_numpy(x @ params["w12"]["kernel"] + params["w12"]["bias"])
    gate, value = halves.chunk(2, dim=-1)
    hidden = (F.silu(gate) * value).numpy()
    _close(actual, hidden @ params["w3"]["kernel"] + params["w3"]["bias"])


@pytest.mark.parametrize("layer", [layers.Conv(6, 3, 2, 1), layers.UpConv(6, 2)])
def test_bfloat16_differentiates_and_keeps_float32_outputs(layer):
    config = layer.clone(dtype=jnp.bfloat16)
    x = jnp.asarray(_normal(1, 6, 6, 4))
    shapes = jax.eval_shape(config.init, jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
    y, pullback = jax.vjp(lambda p, x: config.apply(p, x), params, x)
    assert y.dtype == jnp.float32
    gradients = pullback(jnp.ones_like(y))
    assert all(g.dtype == jnp.float32 for g in jax.tree.leaves(gradients))
    assert all(bool(jnp.abs(g).max() > 0) for g in jax.tree.leaves(gradients))
