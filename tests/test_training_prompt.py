"""Training of models that take a prompt: what is simulated, and what learns first."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_run import one_device

import jax_depth
import jax_depth_convert
from jax_depth import checkpoint
from jax_depth.config import HeadConfig
from jax_depth.models.depth_anything import features, raw_output
from jax_depth.models.initialize import init
from jax_depth.training import mesh as meshes
from jax_depth.training.loop import TrainingData, train
from jax_depth.training.optimizer import from_settings, rates
from jax_depth.training.overrides import override
from jax_depth.training.prompt_simulation import PromptSimulation, simulate
from jax_depth.training.recipes import RECIPES
from jax_depth.training.shapes import Shapes
from jax_depth.training.start import initial_params, model_config

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

SETTINGS = (
    "model.architecture=smoke-prompt",
    "model.init=",
    "model.dtype=float32",
    "data.size=28",
    "data.batch=8",
    "data.threads=1",
    "data.prompt.size=14",
    "data.prompt.stride=2,4",
    "run.save_every=100",
    "run.evaluate_every=100",
    "run.evaluate_images=2",
    "run.log_every=1",
    "optimizer.learning_rate=3e-4",
    "optimizer.layer_decay=1",
)


def _recipe(*changes):
    return override(RECIPES["prompt-finetune"], [*SETTINGS, *changes])


def _metric(config):
    """The model that `config` is without its prompt."""
    head = HeadConfig(**vars(config.head))
    config = dataclasses.replace(config, name="v2", head=head, max_depth=20.0)
    return config, init(config, jax.random.key(7))


def _depth(h=60, w=80):
    y, x = np.mgrid[:h, :w]
    return (2 + np.sin(x / 9) + y / h).astype(np.float32)


def test_a_simulated_prompt_is_coarse_sparse_and_noisy():
    depth, none = _depth(), (0.0, 0.0)
    settings = PromptSimulation(size=30, stride=(5, 5), lost=none)
    exact = dataclasses.replace(settings, noise=none)
    prompt = simulate(depth, exact, np.random.default_rng(0))
    assert prompt.shape == (30, 40) and prompt.dtype == np.float32
    low = depth[1::2, 1::2]
    # One measured point in each cell of five by five, the others made of those.
    same = np.isclose(prompt, low, rtol=1e-6)
    cells = same.reshape(6, 5, 8, 5).any((1, 3))
    assert cells.all() and same.mean() < 0.2
    assert depth.min() <= prompt.min() and prompt.max() <= depth.max()
    assert np.abs(prompt - low).mean() < 0.2

    again = simulate(depth, exact, np.random.default_rng(0))
    np.testing.assert_array_equal(prompt, again)
    loud = dataclasses.replace(settings, noise=(0.05, 0.05))
    noisy = simulate(depth, loud, np.random.default_rng(0))
    error = (noisy / prompt - 1)[same]
    assert 0.02 < error.std() < 0.08


def test_unknown_depth_never_enters_a_prompt():
    depth, settings = _depth(), PromptSimulation(size=30)
    depth[:, :60] = np.nan
    for seed in range(5):
        prompt = simulate(depth, settings, np.random.default_rng(seed))
        assert np.isfinite(prompt).all() and prompt.min() > 0.5
    nothing = np.full((60, 80), np.nan, np.float32)
    prompt = simulate(nothing, settings, np.random.default_rng(0))
    assert (prompt == 1).all() and prompt.shape == (30, 40)
    # What is smaller than the prompt's size stays at its own.
    assert simulate(_depth(9, 12), settings, np.random.default_rng(0)).shape == (9, 12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", [pytest.param("folder", marks=pytest.mark.long), "original"]
)
def test_a_run_begins_at_v2s_weights_and_the_prompt_changes_nothing(layout, tmp_path):
    config = model_config(_recipe())
    plain, weights = _metric(config)
    source = tmp_path / "v2"
    if layout == "folder":
        checkpoint.save(source, weights, plain)
    else:
        source = tmp_path / "v2.pth"
        jax_depth_convert.write(weights, plain, source, "original")
    recipe = _recipe(f"model.init={source}")
    assert model_config(recipe).max_depth is None
    params = initial_params(recipe, config)
    leaves, given = checkpoint.flatten(params), checkpoint.flatten(weights)
    assert {name for name in leaves if "/prompt/" in name} == {*leaves} - {*given}
    for name, leaf in given.items():
        np.testing.assert_array_equal(leaves[name], leaf)
    pixels = jnp.asarray(
        np.random.default_rng(0).normal(size=(1, 28, 42, 3)), "float32"
    )
    prompt = jnp.asarray(_depth(9, 12))[None]
    raw = features(params, pixels, config, prompt=prompt)["raw"]
    np.testing.assert_array_equal(raw, raw_output(weights, pixels, plain))


def test_the_branch_learns_first():
    settings = _recipe("optimizer.prompt_first=2", "optimizer.warmup=0").optimizer
    optimizer = from_settings(settings, 10, model_config(_recipe()))
    branch, other = "head/refinenet_1/prompt/conv3/kernel", "head/output_conv1/kernel"
    params = {branch: jnp.ones((2, 2)), other: jnp.ones((2, 2))}
    state, moved = optimizer.init(params), []
    updates: Any
    for _ in range(4):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(params, state, params)
        moved.append({name: bool((x != 0).all()) for name, x in updates.items()})
    assert [step[other] for step in moved] == [False, False, True, True]
    assert all(step[branch] for step in moved)


@pytest.mark.long
def test_the_loss_falls_and_the_result_takes_a_prompt(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    recipe = _recipe("run.steps=24", "optimizer.prompt_first=6", "optimizer.warmup=2")
    data = TrainingData([Shapes(count=32)], None, Shapes("heldout", 2))
    history = train(recipe, data, tmp_path / "run")
    loss = [float(v) for v in history.values("loss").values()]
    assert np.isfinite(loss).all() and np.mean(loss[-5:]) < 0.8 * np.mean(loss[:5])
    assert history.values("held_out/abs_rel")
    estimator = jax_depth.load(tmp_path / "run")
    config = estimator.config
    assert config.max_depth is None and config.resample == "shrink_area"
    lidar = np.linspace(1, 3, 12, dtype=np.float32).reshape(3, 4)
    depth = estimator.prompted(np.zeros((42, 56, 3), np.uint8), lidar)
    assert 1 <= depth.values.min() and depth.values.max() <= 3


def test_rates_say_who_waits():
    recipe = _recipe()
    names = ["head/a/kernel", "head/refinenet_1/prompt/conv3/kernel", "encoder/norm/x"]
    found = rates(recipe.optimizer, 5000, model_config(recipe), names)
    assert found(300)["prompt"] > 0
    assert found(300)["head"] == found(300)["encoder"] == 0 < found(500)["head"]
    plain = override(recipe, ["optimizer.prompt_first=0"]).optimizer
    assert set(rates(plain, 5000, model_config(recipe), names)(300)) == {
        "head",
        "encoder",
    }


def test_cutmix_does_not_go_with_prompts():
    with pytest.raises(ValueError, match="pastes pictures without their prompts"):
        model_config(_recipe("loss.cutmix=0.5"))
