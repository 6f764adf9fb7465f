"""Depth Anything 3 against its authors' code, stage by stage, from a golden file."""

import dataclasses
import functools
from pathlib import Path

import depth_anything_3_oracle as oracle
import jax
import numpy as np
import pytest
from small_models import assert_same, random_params

import jax_depth
import jax_depth_convert
from jax_depth.catalog import MODELS
from jax_depth.checkpoint import flatten, leaf_shapes
from jax_depth.config import from_json, to_json
from jax_depth.models.depth_anything import features
from jax_depth.models.reference_view import (
    as_given,
    reference_first,
    reorder,
    select_reference,
)

GOLDEN = Path(__file__).parent / "golden" / "depth_anything_3.npz"
TOLERANCE = 5e-5  # of the standard deviation; float32 sums in another order

NAMES = [name for name in MODELS if name.startswith("depth-anything-3-")]
NESTED = dataclasses.replace(oracle.ODD_START, name="toy-nested", metric=oracle.MONO)


@functools.cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


@functools.cache
def hub_state(config) -> dict[str, np.ndarray]:
    """Return the state dict that the authors' network had when the file was made."""
    shapes = jax_depth_convert.to_torch(random_params(config), config)
    return {
        key: oracle.value(key.removeprefix("model."), array.shape)
        for key, array in shapes.items()
    }


@functools.cache
def living_params(config) -> dict:
    return jax_depth_convert.from_torch(hub_state(config), config)


def run(case: str, pixels=None):
    """Return (stages, output) of a case."""
    config, *_, options = oracle.CASES[case]
    pixels = oracle.pixels_of(case) if pixels is None else pixels
    if config is oracle.MONO:
        pixels = pixels[:, 0]
    arguments = {"reference": options["reference"]} if "reference" in options else {}
    given = {}
    if options.get("cameras"):
        given = dict(
            zip(("extrinsics", "intrinsics"), oracle.cameras_of(case), strict=True)
        )

    @jax.jit
    def both(params, pixels, given):
        stages = features(params, pixels, config, **arguments, **given)
        return stages, jax_depth.apply(params, pixels, config, **arguments, **given)

    return both(living_params(config), pixels, given)


def error(actual, expected) -> float:
    """Return the largest difference in standard deviations; of a constant, itself."""
    difference = float(np.abs(np.asarray(actual) - expected).max())
    return difference / (float(expected.std()) or 1.0)


# A quarter of a minute each.
PLAIN = ("two-views-given-cameras", "mono")


@pytest.mark.parametrize(
    "case",
    [
        case if case in PLAIN else pytest.param(case, marks=pytest.mark.slow)
        for case in oracle.CASES
    ],
)
def test_every_stage_equals_the_authors_code(case):
    expected = {
        key.removeprefix(f"{case}/"): array
        for key, array in golden().items()
        if key.startswith(f"{case}/")
    }
    mono = oracle.CASES[case][0] is oracle.MONO
    stages, output = run(case)
    if "reference" in expected:
        assert output.reference.tolist() == expected.pop("reference").tolist()
    errors = {}
    for name, array in expected.items():
        if mono and name.startswith("camera"):
            continue
        ours = stages[name] if name in stages else getattr(output, name)
        ours = np.asarray(ours)[:, None] if mono else np.asarray(ours)
        thin = ours.shape[-1] != array.shape[-1]
        errors[name] = error(ours[..., ::4] if thin else ours, array)
    assert max(errors.values()) < TOLERANCE, errors
    assert min(expected[f"tap_{i}"].std() for i in range(4)) > 0.3

    # |log depth| is what `raw` is.
    shape = output.depth.shape
    raw = expected["raw"].reshape(shape)
    assert np.abs(np.log(output.depth) - raw).max() < TOLERANCE
    if mono:
        sky = np.maximum(expected["sky_raw"], 0).reshape(shape)
        assert np.abs(output.sky - sky).max() < TOLERANCE
        assert output.confidence is output.extrinsics is output.reference is None
        assert 0.1 < (sky >= 0.3).mean() < 0.9
    else:
        confidence = 1 + np.exp(expected["confidence_raw"])
        assert np.allclose(output.confidence, confidence, rtol=TOLERANCE)
        assert np.allclose(
            output.ray_confidence,
            1 + np.exp(expected["rays_raw"][..., 6]),
            rtol=TOLERANCE,
        )
        assert output.rays.shape[-3:] == (*expected["rays_raw"].shape[2:4], 6)
        assert output.sky is None
        assert np.all(output.intrinsics[..., 0, 2] == shape[-1] / 2)
        rotation = np.asarray(output.extrinsics[..., :3])
        turned = rotation @ rotation.swapaxes(-1, -2)
        assert np.allclose(turned, np.eye(3), atol=1e-5)


def test_the_golden_cases_choose_other_views_than_the_first():
    chosen = {c: golden().get(f"{c}/reference") for c in oracle.CASES}
    assert chosen["four-views-two-scenes"].tolist() == [2, 0]
    assert chosen["odd-start"].any()


@pytest.mark.parametrize(
    "strategy", ["first", "middle", "saddle_balanced", "saddle_sim_range"]
)
def test_the_reference_view_is_the_authors(strategy):
    tokens = golden()["selected/tokens"]
    chosen = select_reference(jax.numpy.asarray(tokens), strategy)
    assert chosen.tolist() == golden()[f"selected/{strategy}"].tolist()
    assert select_reference(jax.numpy.asarray(tokens[:, :2]), strategy).tolist() == [
        0
    ] * len(tokens)

    order = reference_first(chosen, 5)
    assert order[:, 0].tolist() == chosen.tolist()
    back = reorder(reorder(tokens, order), as_given(chosen, 5))
    assert np.array_equal(back, tokens)


@pytest.mark.long
def test_many_views_pass_the_head_in_parts():
    pixels = np.random.default_rng(0).normal(size=(1, 11, 28, 28, 3))
    params = living_params(oracle.ANY_VIEW)
    run = jax.jit(jax_depth.apply, static_argnums=2)
    output = run(params, pixels.astype(np.float32), oracle.ANY_VIEW)
    stages = features(params, pixels.astype(np.float32), oracle.ANY_VIEW)
    assert output.depth.shape == (1, 11, 28, 28)
    assert error(output.depth, np.exp(np.asarray(stages["raw"]))) < TOLERANCE


# The largest take seconds to trace, and the others show the same.
SMALL = ("depth-anything-3-small", "depth-anything-3-metric-large")


@pytest.mark.parametrize(
    "name",
    [n if n in SMALL else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_published_models_have_their_parameters(name):
    entry = MODELS[name]
    count = sum(int(np.prod(x.shape)) for x in leaf_shapes(entry.config).values())
    giant = "giant" in name
    assert count + (35_628_486 if giant else 0) == entry.parameters
    assert from_json(to_json(entry.config)) == entry.config
    assert entry.config.kind == "depth" and entry.config.image_size == 504


@pytest.mark.parametrize(
    "config", [oracle.ANY_VIEW, oracle.ODD_START, oracle.MONO, NESTED]
)
def test_hub_files_come_and_go_bit_equal(config):
    state = hub_state(config)
    assert all(key.startswith("model.") for key in state)
    params = jax_depth_convert.from_torch(state, config)
    assert_same(state, jax_depth_convert.to_torch(params, config))
    # Without the hub's prefix, as the network alone saves itself.
    bare = {key.removeprefix("model."): array for key, array in state.items()}
    again = jax_depth_convert.from_torch(bare, config)
    assert_same(flatten(params), flatten(again))


def test_dead_levels_are_kept_and_the_shared_norm_is_read_under_any_name():
    state = hub_state(oracle.ANY_VIEW)
    shared = "model.head.scratch.output_conv2_aux.{}.2.weight"
    dead = "model.head.scratch.output_conv1_aux.{}.0.weight"
    assert shared.format(0) in state and shared.format(1) not in state
    assert all(dead.format(i) in state for i in range(4))

    twins = {shared.format(i): state[shared.format(0)] for i in (1, 2, 3)}
    params = jax_depth_convert.from_torch(state | twins, oracle.ANY_VIEW)
    assert_same(state, jax_depth_convert.to_torch(params, oracle.ANY_VIEW))
    alone = {k: x for k, x in state.items() if k != shared.format(0)}
    third = shared.format(3)
    for others in (twins, {third: twins[third]}):
        again = jax_depth_convert.from_torch(alone | others, oracle.ANY_VIEW)
        assert_same(state, jax_depth_convert.to_torch(again, oracle.ANY_VIEW))
    twins[shared.format(3)] = twins[shared.format(3)] + 1
    with pytest.raises(ValueError, match=r"output_conv2_aux\.3\.2\.weight"):
        jax_depth_convert.from_torch(state | twins, oracle.ANY_VIEW)


def test_a_wrong_file_is_refused_by_key():
    state = dict(hub_state(oracle.ANY_VIEW))
    del state["model.cam_dec.fc_t.bias"]
    with pytest.raises(ValueError, match=r"missing 'cam_dec\.fc_t\.bias'"):
        jax_depth_convert.from_torch(state, oracle.ANY_VIEW)
    with pytest.raises(ValueError, match="layout='original'"):
        jax_depth_convert.to_torch(
            living_params(oracle.ANY_VIEW), oracle.ANY_VIEW, layout="transformers"
        )


def test_the_gaussian_head_stays_beside_the_parameters(tmp_path):
    config = oracle.ODD_START
    splats = {"model.gs_head.norm.weight": np.arange(4, dtype=np.float32)}
    state = hub_state(config) | splats
    params = jax_depth_convert.from_torch(state, config)
    assert_same(flatten(params), flatten(living_params(config)))
    rest = jax_depth_convert.unused(state)
    assert_same(rest, splats)
    assert_same(state, jax_depth_convert.to_torch(params, config, unused=rest))

    # And on disk, through our own format.
    file, native, back = (tmp_path / n for n in ("a.safetensors", "b", "c.safetensors"))
    jax_depth_convert.write(params, config, file, "original", unused=rest)
    jax_depth_convert.convert(file, config, native)
    jax_depth_convert.convert(native, None, back, "original")
    assert_same(state, jax_depth_convert.read(back))


def test_mono_and_metric_ask_for_the_name(tmp_path):
    names = ("depth-anything-3-mono-large", "depth-anything-3-metric-large")
    configs = [MODELS[name].config for name in names]
    found = jax_depth_convert.recognise(hub_state(oracle.MONO))
    found = dataclasses.replace(found, width=1024, depth=24)
    assert all(map(found.fits, configs))


def test_an_own_picture_rank_is_refused_with_the_remedy(as_installed):
    config = oracle.ANY_VIEW
    with pytest.raises(ValueError, match=r"pixels\[:, None\], its only view$"):
        jax_depth.forward(living_params(config), np.zeros((1, 28, 28, 3), "f4"), config)
    pixels = np.zeros((1, 2, 28, 28, 3), np.float32)
    with pytest.raises(ValueError, match=r"'best'.*saddle_balanced"):
        jax_depth.apply(living_params(config), pixels, config, reference="best")
    with pytest.raises(ValueError, match="intrinsics"):
        extrinsics = np.tile(np.eye(4, dtype=np.float32), (1, 2, 1, 1))
        jax_depth.apply(living_params(config), pixels, config, extrinsics=extrinsics)
