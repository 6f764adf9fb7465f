"""Video Depth Anything against golden data of the authors' code, clip and stream.

The data is six frames through their float64 network, whose weights `living_weights`
draws again from the names of its tensors.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from living_weights import value
from small_models import GELU, assert_same, random_params

import jax_depth
import jax_depth_convert
from jax_depth.checkpoint import flatten
from jax_depth.config import ModelConfig, VideoHeadConfig
from jax_depth.models.clips import clip_depth
from jax_depth.models.temporal import RING, positions

GOLDEN = Path(__file__).parent / "golden" / "video_small.npz"
SMALL = jax_depth.MODELS["video-depth-anything-small"].config
TOY = ModelConfig(
    "toy-video",
    dataclasses.replace(GELU, depth=2, taps=(0, 0, 1, 1)),
    VideoHeadConfig(features=32, channels=(8, 8, 32, 32), output_channels=8),
)


def _pe(shape):
    # The formula once more: AnimateDiff's `PositionalEncoding`.
    place = np.arange(shape[1])[:, None]
    even = np.arange(0, shape[2], 2)
    angle = place * np.exp(-even * np.log(10000.0) / shape[2])
    table = np.zeros(shape)
    table[0, :, 0::2], table[0, :, 1::2] = np.sin(angle), np.cos(angle)
    return table.astype(np.float32)


@functools.cache
def _published():
    """Return the published layout's keys with living weights, and our parameters."""
    shapes = jax_depth_convert.state_dicts.invert_params(
        random_params(SMALL), SMALL, "original"
    )
    state = {
        key: _pe(x.shape) if key.endswith(".pe") else value(key, x.shape)
        for key, x in shapes.items()
    }
    return state, jax_depth_convert.from_torch(state, SMALL)


@functools.cache
def _golden():
    with np.load(GOLDEN) as file:
        frames, clip, stream = file["frames"], file["clip"], file["stream"]
    mean, std = np.array(SMALL.mean), np.array(SMALL.std)
    pixels = ((frames / np.float32(255) - mean) / std).astype(np.float32)
    return pixels, clip, stream


@pytest.mark.slow
def test_a_clip_is_that_of_the_authors():
    pixels, expected, _ = _golden()
    run = jax.jit(functools.partial(jax_depth.apply, config=SMALL))
    depth = np.asarray(run(_published()[1], pixels[None]).depth[0])
    np.testing.assert_allclose(depth, expected, rtol=0, atol=5e-6 * expected.max())


@pytest.mark.slow
def test_a_stream_is_that_of_the_authors():
    pixels, _, expected = _golden()
    params = _published()[1]
    step = jax.jit(jax_depth.stream_step, static_argnums=3)
    state, maps = jax_depth.stream_init(params, SMALL, pixels.shape[1:3]), []
    for frame in pixels:
        state, output = step(params, state, frame[None], SMALL)
        maps.append(np.asarray(output.depth[0]))
    np.testing.assert_allclose(maps, expected, rtol=0, atol=5e-6 * expected.max())


def test_keys_go_both_ways_and_the_table_is_checked():
    state, params = _published()
    assert len(state) == 351
    assert sum(x.size for x in jax.tree.leaves(params)) == 29_035_137
    assert_same(jax_depth_convert.to_torch(params, SMALL), state)
    found = jax_depth_convert.recognise(state)
    assert (found.keys, found.layout) == ("video_depth_anything", "original")
    key = next(key for key in state if key.endswith(".pe"))
    near = state | {key: state[key] + np.float32(5e-6)}
    jax_depth_convert.from_torch(near, SMALL)
    with pytest.raises(ValueError, match=key):
        jax_depth_convert.from_torch(state | {key: state[key] + 1e-4}, SMALL)
    with pytest.raises(ValueError, match="transformers layout"):
        jax_depth_convert.to_torch(params, SMALL, "transformers")


@functools.cache
def _toy():
    params = random_params(TOY)
    flat = {
        k: x * 0.1 if x.ndim > 1 else 1 + 0.1 * x for k, x in flatten(params).items()
    }
    return jax_depth.checkpoint.unflatten(flat)


def test_frames_of_a_clip_see_one_another_and_clips_do_not():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 3, 28, 42, 3)).astype(np.float32)
    run = jax.jit(functools.partial(jax_depth.forward, config=TOY))
    depth = np.asarray(run(_toy(), pixels))
    alone = np.asarray(run(_toy(), pixels[1:]))
    np.testing.assert_allclose(depth[1:], alone, rtol=1e-4, atol=1e-5)
    turned = np.asarray(run(_toy(), pixels[:, ::-1]))[:, ::-1]
    assert np.abs(turned - depth).max() > 2e-3 * depth.max()


@pytest.mark.slow
@pytest.mark.parametrize("count", [pytest.param(8, marks=pytest.mark.long), 5])
def test_a_clip_in_chunks_is_the_clip(count):
    rng = np.random.default_rng(2)
    pixels = rng.normal(size=(count, 28, 42, 3)).astype(np.float32)
    forward = jax.jit(functools.partial(jax_depth.forward, config=TOY))
    whole = np.asarray(forward(_toy(), pixels[None])[0])
    run = jax.jit(functools.partial(clip_depth, config=TOY))
    depth = np.asarray(run(_toy(), pixels))
    np.testing.assert_allclose(depth, whole, rtol=0, atol=3e-6 * whole.max())


def test_a_stream_is_attention_to_the_published_frames():
    """Longer than the ring: against whole attention over the frames it names."""
    from jax_depth.models.temporal import Cache, TemporalAttention

    rng = np.random.default_rng(1)
    c, count = 32, RING + 9
    z = rng.normal(size=(count, 2, 3, c)).astype(np.float32)
    attention = TemporalAttention(32)
    params = {
        "qkv": {"kernel": rng.normal(size=(c, 3 * c)).astype(np.float32) / 6},
        "proj": {
            "kernel": np.eye(c, dtype=np.float32),
            "bias": np.zeros(c, np.float32),
        },
    }
    cache = Cache(jnp.zeros((2, 2, 3, c)), jnp.zeros((RING, 2, 2, 3, c)))

    def step(carry, x):
        frame, cache = carry
        y, cache = attention.apply({"params": params}, x[:, None], cache, frame)
        return (frame + 1, cache), y[:, 0]

    (_, _), streamed = jax.lax.scan(step, (jnp.int32(0), cache), jnp.asarray(z))
    for i in (0, 1, 5, RING, count - 1):
        seen = [0, max(0, i - 41), *(max(0, i - k) for k in range(29, -1, -1))]
        whole = z[[i]] if i == 0 else z[seen]
        y, _ = attention.apply({"params": params}, jnp.asarray(whole.swapaxes(0, 1)))
        np.testing.assert_allclose(streamed[i], y[:, -1], atol=2e-5)


def test_clips_and_streams_refuse_what_they_cannot_continue():
    params = _toy()
    with pytest.raises(ValueError, match=r"pixels\[:, None\]"):
        jax_depth.forward(params, np.zeros((1, 28, 28, 3), np.float32), TOY)
    with pytest.raises(ValueError, match="33 frames"):
        jax_depth.forward(params, np.zeros((1, 33, 14, 14, 3), np.float32), TOY)
    state = jax_depth.stream_init(params, TOY, (28, 28))
    with pytest.raises(ValueError, match="stream_init"):
        pixels = np.zeros((1, 28, 42, 3), np.float32)
        jax_depth.stream_step(params, state, pixels, TOY)
    still = jax_depth.MODELS["depth-anything-v2-small"].config
    with pytest.raises(ValueError, match="single pictures"):
        jax_depth.stream_init({}, still, (28, 28))


def test_the_table_of_positions_is_the_formula():
    np.testing.assert_array_equal(positions(32, 48), _pe((1, 32, 48))[0])
