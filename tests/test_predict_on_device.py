"""`jax_depth.predict`: the host's way of a photo, inside one traced program."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_depth
from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig
from jax_depth.inference import on_canvas, predict_canvases
from jax_depth.inference.on_device import to_pixels
from jax_depth.inference.preprocess import processing_size, served
from jax_depth.models.depth_anything import param_shapes

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

RNG = np.random.default_rng(0)
CONFIG = ModelConfig(
    "toy",
    EncoderConfig(32, 2, 2, (0, 0, 1, 1), mlp_hidden=64, position_grid=4),
    HeadConfig(8, (8, 8, 8, 8), output_channels=4),
    image_size=42,
)
SIZES = [(50, 70), (97, 61), (30, 45)]


@functools.cache
def living_params():
    """Return random parameters of which no bias or gain is at rest, of every config."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        name, noise = path[-1].key, rng.standard_normal(leaf.shape)
        if name == "kernel":
            return jnp.asarray(noise / math.prod(leaf.shape[:-1]) ** 0.5, "f4")
        return jnp.asarray((name in ("scale", "gamma")) + 0.1 * noise, "f4")

    params = jax.tree_util.tree_map_with_path(draw, param_shapes(CONFIG))
    params["head"]["output_conv3"]["bias"] += 1  # or the last ReLU may be dead
    return params


def photos(size):
    y, x = np.mgrid[: size[0], : size[1]]
    smooth = np.stack([3 * x, 2 * y, x + y], 2) % 256
    noise = np.random.default_rng(size).integers(-20, 21, (2, *size, 3))
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


@pytest.mark.parametrize(
    ("size", "restore"),
    [(SIZES[0], "aligned"), (SIZES[1], "half_pixel"), (SIZES[0], "bicubic")],
)
def test_maps_are_those_of_the_estimator(size, restore):
    config = dataclasses.replace(CONFIG, restore=restore)
    params = living_params()
    batch = photos(size)
    forward = jax.jit(jax_depth.predict, static_argnames=("config", "size"))
    got = np.asarray(forward(params, batch, config=config).depth)
    estimator = jax_depth.Estimator(params, config)
    expected = np.stack([depth.values for depth in estimator(list(batch))])
    assert got.shape == expected.shape == batch.shape[:3]
    assert np.abs(got - expected).max() < 2e-5 * expected.std()
    if restore == "aligned":
        larger = np.asarray(forward(params, batch, config=config, size=56).depth)[0]
        again = jax_depth.Estimator(params, config, size=56)(batch[0]).values
        assert np.abs(larger - again).max() < 2e-5 * again.std()


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
    params = living_params()
    photo = jnp.asarray(photos((30, 45))[:1] / np.float32(255))

    def mean(photo, config):
        return jax_depth.predict(params, photo, config).depth.mean()

    slope = jax.jit(jax.grad(mean), static_argnums=1)
    for config in (served(CONFIG, None, "transformers"), CONFIG):
        gradient = np.asarray(slope(photo, config))
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    laid = on_canvas(np.asarray(photo[0]), CONFIG)

    def mean_on_canvas(photos):
        placed = dataclasses.replace(laid, photos=photos)
        return predict_canvases(params, placed, CONFIG).depth.sum() / (30 * 45)

    there = np.asarray(jax.jit(jax.grad(mean_on_canvas))(laid.photos))
    assert not there[:, 30:].any() and not there[:, :, 45:].any()
    tolerance = 1e-5 * np.abs(gradient).max()
    np.testing.assert_allclose(there[:, :30, :45], gradient, rtol=0, atol=tolerance)


def test_what_is_not_taken_is_said():
    params = living_params()
    with pytest.raises(ValueError, match=r"\(30, 45, 3\).*photo\[None\]"):
        jax_depth.predict(params, photos((30, 45))[0], CONFIG)
    with pytest.raises(ValueError, match=r"int32.*uint8"):
        jax_depth.predict(params, photos((30, 45)).astype(np.int32), CONFIG)
    other = dataclasses.replace(CONFIG, resample="upper_bound_resize")
    with pytest.raises(ValueError, match=r"upper_bound_resize.*Estimator"):
        jax_depth.predict(params, photos((30, 45)), other)


def test_saved_parameters_come_back_on_the_device(tmp_path):
    params = living_params()
    jax_depth.save_params(tmp_path / "model", params, CONFIG)
    again, config = jax_depth.load_params(tmp_path / "model")
    assert config == CONFIG
    leaves = jax.tree.leaves(again)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    for a, b in zip(jax.tree.leaves(params), leaves, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "resample, restore", [("original", "half_pixel"), ("transformers", "bicubic")]
)
def test_photos_of_many_sizes_share_a_program(resample, restore):
    config = dataclasses.replace(served(CONFIG, None, resample), restore=restore)
    params = living_params()
    compiled = jax.jit(functools.partial(predict_canvases, config=config))
    made = {}
    for rows in range(90, 102, 2):  # 12 sizes, of which two are a batch
        pair = [photos((n, 2 * n))[0] for n in (rows, rows + 12)]
        laid = [on_canvas(photo, config) for photo in pair]
        laid = jax.tree.map(lambda *x: np.concatenate(x), *laid)
        depth = np.asarray(compiled(params, laid).depth)
        made |= zip(map(len, pair), zip(pair, depth, strict=True), strict=True)
    assert len(made) == 12 and compiled._cache_size() == 1
    alone = jax.jit(jax_depth.predict, static_argnames=("config", "size"))
    photo, got = made[102]
    expected = np.asarray(alone(params, photo[None], config=config).depth)[0]
    np.testing.assert_allclose(
        got[:102, :204], expected, rtol=0, atol=2e-5 * expected.std()
    )
    assert not got[102:].any() and not got[:, 204:].any()
    with pytest.raises(ValueError, match=r"204 x 102 .* canvas of 256 x 40"):
        on_canvas(photo, config, canvas=(40, 256))
