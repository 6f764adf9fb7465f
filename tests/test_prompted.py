"""Prompt Depth Anything against transformers, and what its network promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from small_models import PROMPT, RELATIVE, assert_same, random_params

import jax_depth
import jax_depth_convert
from jax_depth.checkpoint import flatten
from jax_depth.models.resize import resize_half_pixel

run = jax.jit(
    functools.partial(jax_depth.apply, config=PROMPT), static_argnames=("reference",)
)


@functools.cache
def _living():
    model = oracle.prompt_depth_anything(PROMPT)
    params = jax_depth_convert.from_torch(oracle.state(model), PROMPT)
    return model, params


def _pictures(rng, b, h, w):
    return rng.normal(size=(b, h, w, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "prompt_size"),
    [((56, 70), (9, 13)), ((42, 28), (90, 64)), ((28, 56), (1, 2))],
)
def test_the_network_is_that_of_transformers(size, prompt_size):
    model, params = _living()
    rng = np.random.default_rng(1)
    pixels = _pictures(rng, 2, *size)
    prompt = rng.uniform(0.4, 7.0, (2, *prompt_size)).astype(np.float32)
    expected = oracle.run_prompted(model, pixels, prompt)
    depth = np.asarray(run(params, pixels, prompt=prompt).depth)
    assert depth.std() > 0.1
    np.testing.assert_allclose(depth, expected, atol=2e-5 * expected.max(), rtol=0)


def test_depth_stays_in_the_prompts_range_and_follows_its_unit():
    _, params = _living()
    rng = np.random.default_rng(2)
    pixels = _pictures(rng, 2, 28, 42)
    prompt = rng.uniform(1.0, 2.0, (2, 8, 8)).astype(np.float32)
    depth = np.asarray(run(params, pixels, prompt=prompt).depth)
    low, high = prompt.min((1, 2)), prompt.max((1, 2))
    assert (depth.min((1, 2)) >= low).all() and (depth.max((1, 2)) <= high).all()
    other = np.asarray(run(params, pixels, prompt=7 * prompt + 3).depth)
    np.testing.assert_allclose(other, 7 * depth + 3, rtol=2e-5)


def test_a_constant_prompt_returns_itself_and_touches_no_neighbour():
    _, params = _living()
    rng = np.random.default_rng(3)
    pixels = _pictures(rng, 2, 28, 28)
    prompt = np.stack([np.full((6, 6), 2.5), rng.uniform(1, 3, (6, 6))])
    prompt = prompt.astype(np.float32)
    depth = np.asarray(run(params, pixels, prompt=prompt).depth)
    assert (depth[0] == 2.5).all()
    alone = np.asarray(run(params, pixels[1:], prompt=prompt[1:]).depth)
    np.testing.assert_allclose(depth[1:], alone, atol=1e-5)
    gradient = jax.grad(lambda p: run(params, pixels, prompt=p).depth.sum())(prompt)
    assert np.isfinite(gradient).all() and np.abs(gradient[1]).max() > 0


def test_the_prompts_resize_is_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    for n_in, n_out in (((192, 256), (19, 26)), ((5, 7), (38, 11)), ((1, 3), (4, 4))):
        x = rng.normal(size=(1, *n_in, 2)).astype(np.float32)
        channels_first = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
        expected = torch.nn.functional.interpolate(
            channels_first, n_out, mode="bilinear", align_corners=False
        )
        expected = np.moveaxis(expected.numpy(), 1, -1)
        got = np.asarray(resize_half_pixel(jnp.asarray(x), n_out))
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("layout", ["original", "transformers"])
def test_both_layouts_go_both_ways(layout):
    params = random_params(PROMPT)
    state = jax_depth_convert.to_torch(params, PROMPT, layout)
    found = jax_depth_convert.recognise(state)
    assert (found.layout, found.keys) == (layout, "prompt_depth_anything")
    assert found.fits(PROMPT) and not found.fits(RELATIVE)
    again = jax_depth_convert.from_torch(state, PROMPT)
    assert_same(*map(flatten, (again, params)))
    assert_same(jax_depth_convert.to_torch(again, PROMPT, layout), state)


def test_the_authors_own_file_has_a_name_before_every_key_and_two_constants():
    params = random_params(PROMPT)
    state = jax_depth_convert.to_torch(params, PROMPT, "original")
    np.testing.assert_array_equal(
        state["_mean"].ravel(), np.float32([0.485, 0.456, 0.406])
    )
    nested = {f"pipeline.{key}": value for key, value in state.items()}
    again = jax_depth_convert.from_torch(nested, PROMPT)
    assert_same(*map(flatten, (again, params)))
    nested["pipeline._mean"] = nested["pipeline._mean"] + 0.01
    with pytest.raises(ValueError, match=r"_mean.*constant"):
        jax_depth_convert.from_torch(nested, PROMPT)


def test_arguments_are_refused_where_nobody_would_look_at_them():
    pixels = np.zeros((1, 28, 28, 3), np.float32)
    prompt = np.ones((1, 4, 4), np.float32)
    with pytest.raises(ValueError, match="leave out prompt"):
        jax_depth.apply({}, pixels, RELATIVE, prompt=prompt)
    with pytest.raises(ValueError, match="needs a prompt"):
        jax_depth.apply({}, pixels, PROMPT)
    with pytest.raises(ValueError, match="leave out reference"):
        jax_depth.apply({}, pixels, RELATIVE, reference="first")
    with pytest.raises(ValueError, match="single pictures"):
        jax_depth.apply({}, pixels[None], RELATIVE)
