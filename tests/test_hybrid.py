"""Hybrid encoder: the transformer on top of the stem, against torch."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import HYBRID as CONFIG
from small_models import REDUCED

from jax_depth.models import depth_anything
from jax_depth.models.initialize import init

run = jax.jit(depth_anything.raw_output, static_argnums=2)
features = jax.jit(depth_anything.features, static_argnums=2)


@pytest.fixture(scope="module")
def params():
    """Parameters with live attention, gains and shifts."""
    params = jax.tree.map(np.asarray, init(CONFIG, jax.random.key(0)))
    generator = np.random.default_rng(0)
    noise = lambda x: x + 0.2 * generator.normal(size=x.shape).astype(np.float32)
    encoder = {k: v for k, v in params["encoder"].items() if k != "stem"}
    return params | {"encoder": params["encoder"] | jax.tree.map(noise, encoder)}


def transformer(params, coarse: np.ndarray) -> dict[str, torch.Tensor]:
    """The part after the stem in torch, float64; pre-norm blocks as in DINOv2."""
    p = jax.tree.map(lambda x: torch.from_numpy(np.array(x, np.float64)), params)

    def norm(x, p):
        return F.layer_norm(x, x.shape[-1:], p["scale"], p["bias"], 1e-6)

    def dense(x, p):
        return x @ p["kernel"] + p["bias"]

    b, ph, pw, _ = coarse.shape
    x = dense(torch.from_numpy(coarse.astype(np.float64)), p["proj"])
    grid = p["pos_embed"].reshape(1, 5, 5, -1).permute(0, 3, 1, 2)
    if (ph, pw) != (5, 5):
        grid = F.interpolate(grid, (ph, pw), mode="bicubic")
    x = (x + grid.permute(0, 2, 3, 1)).reshape(b, ph * pw, -1)
    named = {}
    for i in range(3):
        block = p[f"block_{i}"]
        qkv = dense(norm(x, block["norm1"]), block["attn"]["qkv"])
        q, k, v = qkv.reshape(b, ph * pw, 3, 3, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        y = y.transpose(1, 2).reshape(x.shape)
        x = x + block["ls1"]["gamma"] * dense(y, block["attn"]["proj"])
        y = F.gelu(dense(norm(x, block["norm2"]), block["mlp"]["fc1"]))
        x = x + block["ls2"]["gamma"] * dense(y, block["mlp"]["fc2"])
        named[f"tap_{i}"] = norm(x, p["norm"]).reshape(b, ph, pw, -1)
    return named


@pytest.mark.parametrize("size", [(80, 80), (64, 144)])
def test_taps_equal_torch(params, size):
    generator = np.random.default_rng(1)
    pixels = generator.normal(size=(2, *size, 3)).astype(np.float32)
    named = features(params, pixels, CONFIG)
    want = transformer(
        {k: v for k, v in params["encoder"].items() if k != "stem"},
        np.asarray(named["stem_16"]),
    )
    np.testing.assert_array_equal(named["tap_0"], named["stem_4"])
    np.testing.assert_array_equal(named["tap_1"], named["stem_8"])
    for ours, theirs in (("tap_2", "tap_0"), ("tap_3", "tap_2")):
        expected = want[theirs].numpy()
        error = np.abs(named[ours] - expected).max() / expected.std()
        assert error < 2e-5, f"{ours}: {error}"
    rows, columns = size[0] // 16, size[1] // 16
    assert named["level_1"].shape == (2, 4 * rows, 4 * columns, 8)
    assert named["level_4"].shape == (2, -(-rows // 2), -(-columns // 2), 8)


@pytest.mark.parametrize(
    ("size", "seen"), [((80, 80), (32, 32)), ((112, 48), (80, 32))]
)
def test_the_transformer_sees_a_reduced_copy(params, size, seen):
    pixels = np.random.default_rng(3).normal(size=(2, *size, 3)).astype(np.float32)
    reduced = F.interpolate(
        torch.from_numpy(np.moveaxis(pixels, -1, 1).astype(np.float64)),
        seen,
        mode="bicubic",
        antialias=True,
    )
    reduced = np.moveaxis(reduced.numpy().astype(np.float32), 1, -1)
    named = features(params, pixels, REDUCED)
    coarse, fine = features(params, reduced, CONFIG), features(params, pixels, CONFIG)
    for name, expected in (
        ("stem_4", fine["stem_4"]),
        ("stem_8", fine["stem_8"]),
        ("stem_16", coarse["stem_16"]),
        ("tap_2", coarse["tap_2"]),
        ("patches", coarse["patches"]),
    ):
        error = np.abs(named[name] - expected).max() / np.std(expected)
        assert error < 2e-5, f"{name}: {error}"
    assert named["raw"].shape == (2, *size)


def test_a_picture_no_larger_is_not_reduced(params):
    pixels = np.random.default_rng(4).normal(size=(1, 32, 80, 3)).astype(np.float32)
    expected = run(params, pixels, CONFIG)
    np.testing.assert_array_equal(run(params, pixels, REDUCED), expected)


def test_a_narrow_picture_works_and_an_odd_size_is_refused(params):
    raw = run(params, np.ones((1, 48, 16, 3), np.float32), CONFIG)
    assert raw.shape == (1, 48, 16) and np.isfinite(raw).all()
    with pytest.raises(ValueError, match="multiples of 16"):
        run(params, np.ones((1, 30, 32, 3), np.float32), CONFIG)


@pytest.mark.slow
def test_bfloat16_stays_close_and_returns_float32(params):
    pixels = np.random.default_rng(2).normal(size=(1, 64, 96, 3)).astype(np.float32)
    exact = np.asarray(run(params, pixels, CONFIG))
    got = run(params, pixels, dataclasses.replace(CONFIG, dtype="bfloat16"))
    assert got.dtype == np.float32
    error = np.abs(got - exact).max() / (exact.max() - exact.min())
    assert 0 < error < 0.05
