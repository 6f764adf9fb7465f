"""`jax_depth.predict`: the host's way of a photo, inside one traced program."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_depth
from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig
from jax_depth.inference.on_device import to_pixels
from jax_depth.inference.preprocess import processing_size, served

RNG = np.random.default_rng(0)
CONFIG = ModelConfig(
    "toy",
    EncoderConfig(32, 2, 2, (0, 0, 1, 1), mlp_hidden=64, position_grid=4),
    HeadConfig(8, (8, 8, 8, 8), output_channels=4),
    image_size=42,
)
SIZES = [(50, 70), (97, 61), (30, 45)]


def living_params(config):
    """Return random parameters of which no bias or gain is at rest."""
    rng = np.random.default_rng(1)
    params = jax_depth.init(config, jax.random.key(0))
    return jax.tree.map(
        lambda leaf: leaf + jnp.asarray(0.1 * rng.standard_normal(leaf.shape), "f4"),
        params,
    )


def photos(size):
    y, x = np.mgrid[: size[0], : size[1]]
    smooth = np.stack([3 * x, 2 * y, x + y], 2) % 256
    noise = RNG.integers(-20, 21, (2, *size, 3))
    return np.clip(smooth[None] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("resample", ["original", "transformers"])
def test_pixels_are_those_of_the_host(size, dtype, resample):
    config = served(CONFIG, None, resample)
    batch = photos(size)
    if dtype == "float32":
        batch = batch.astype(np.float32) / 255
    host = np.concatenate([jax_depth.preprocess(photo, config) for photo in batch])
    network = processing_size(*size, 42, 14, resample)
    got = np.asarray(to_pixels(jnp.asarray(batch), config, network))
    std = np.array(config.std, np.float32)
    difference = np.abs(got - host) * std
    if resample == "original":
        assert difference.max() < 1e-5
    else:  # the same grey level but for ties of the fixed-point arithmetic
        assert difference.max() < 1.01 / 255
        assert (difference > 0.5 / 255).mean() < 1e-3


@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize("restore", ["aligned", "half_pixel", "bicubic"])
def test_maps_are_those_of_the_estimator(size, restore):
    config = dataclasses.replace(CONFIG, restore=restore)
    params = living_params(config)
    batch = photos(size)
    forward = jax.jit(jax_depth.predict, static_argnames=("config", "size"))
    got = np.asarray(forward(params, batch, config=config).depth)
    estimator = jax_depth.Estimator(params, config)
    expected = np.stack([depth.values for depth in estimator(list(batch))])
    assert got.shape == expected.shape == batch.shape[:3]
    assert np.abs(got - expected).max() < 2e-5 * expected.std()
    larger = forward(params, batch, config=config, size=56).depth
    again = jax_depth.Estimator(params, config, size=56)(batch[0]).values
    assert np.abs(np.asarray(larger)[0] - again).max() < 2e-5 * again.std()


@pytest.mark.parametrize("resample", ["original", "transformers"])
def test_gradients_are_those_of_finite_differences(resample):
    """Of the unrounded path, which is linear in the photo, so a large step is exact."""
    config = served(CONFIG, None, resample)
    network = processing_size(30, 45, 42, 14, resample)
    photo = jnp.asarray(photos((30, 45))[:1] / np.float32(255) * 0.5 + 0.2)
    weight = jnp.asarray(RNG.standard_normal((1, *network, 3)), jnp.float32)

    def value(x):
        return (to_pixels(x, config, network) * weight).sum()

    direction = jnp.asarray(RNG.standard_normal(photo.shape), jnp.float32)
    slope = float((jax.grad(value)(photo) * direction).sum())
    plain = served(CONFIG, None, "original")
    if resample == "original":
        step = 0.05 * direction
        found = float(value(photo + step) - value(photo - step)) / 0.1
        assert abs(found - slope) < 1e-3 * abs(slope)
    else:  # the kernels differ a little, the rounding does not count
        other = jax.grad(lambda x: (to_pixels(x, plain, network) * weight).sum())
        assert np.isfinite(slope) and abs(slope) > 0
        ratio = jnp.linalg.norm(jax.grad(value)(photo)) / jnp.linalg.norm(other(photo))
        assert 0.5 < float(ratio) < 2


@pytest.mark.slow
def test_gradients_reach_the_photo_through_the_network():
    params = living_params(CONFIG)
    photo = jnp.asarray(photos((30, 45))[:1] / np.float32(255))
    for config in (CONFIG, served(CONFIG, None, "transformers")):
        gradient = jax.grad(
            lambda x, config=config: jax_depth.predict(params, x, config).depth.mean()
        )(photo)
        assert np.isfinite(gradient).all() and float(jnp.abs(gradient).max()) > 0


def test_what_is_not_taken_is_said():
    params = living_params(CONFIG)
    with pytest.raises(ValueError, match=r"\(30, 45, 3\).*photo\[None\]"):
        jax_depth.predict(params, photos((30, 45))[0], CONFIG)
    with pytest.raises(ValueError, match=r"int32.*uint8"):
        jax_depth.predict(params, photos((30, 45)).astype(np.int32), CONFIG)
    other = dataclasses.replace(CONFIG, resample="upper_bound_resize")
    with pytest.raises(ValueError, match=r"upper_bound_resize.*Estimator"):
        jax_depth.predict(params, photos((30, 45)), other)


def test_saved_parameters_come_back_on_the_device(tmp_path):
    params = living_params(CONFIG)
    jax_depth.save_params(tmp_path / "model", params, CONFIG)
    again, config = jax_depth.load_params(tmp_path / "model")
    assert config == CONFIG
    leaves = jax.tree.leaves(again)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    for a, b in zip(jax.tree.leaves(params), leaves, strict=True):
        np.testing.assert_array_equal(a, b)
