"""Recipes: complete, sourced, changed by key, and back from JSON."""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig
from jax_depth.training import overrides
from jax_depth.training.optimizer import from_settings, schedule
from jax_depth.training.recipe import OptimizerSettings, leaves
from jax_depth.training.recipes import RECIPES, SOURCES, sources
from jax_depth.training.setting import ranges
from jax_depth.training.start import model_config

SMOKE = RECIPES["smoke"]
NUMBER = int | float


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_setting_has_a_source_and_the_way_to_json_is_exact(recipe):
    assert set(SOURCES.get(recipe.name, {})) <= set(leaves(recipe))
    assert set(sources(recipe)) == set(leaves(recipe))
    assert overrides.from_json(overrides.to_json(recipe)) == recipe
    assert model_config(recipe).kind == recipe.model.kind


def test_settings_change_by_key():
    changed = overrides.override(
        SMOKE,
        [
            "optimizer.learning_rate=1",
            "data.augmentation.jpeg=(30, 40)",
            "model.frozen=encoder/norm",
            "model.init= a b ",
            "optimizer.decay_all=true",
        ],
    )
    assert changed.optimizer.learning_rate == 1.0
    assert changed.data.augmentation.jpeg == (30, 40)
    assert changed.model.frozen == ("encoder/norm",)
    assert changed.model.init == "a b" and changed.optimizer.decay_all is True
    assert len(overrides.differences(SMOKE, changed)) == 5
    # What only fits together is checked together.
    metric = ["model.kind=metric_depth", "model.max_depth=20", "loss.main=silog"]
    assert overrides.override(SMOKE, metric).model.max_depth == 20.0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optimizer.lerning_rate=1", "did you mean 'optimizer.learning_rate'"),
        ("learning_rate=1", r"did you mean 'optimizer.learning_rate'\?"),
        ("optimizer.lr=1", r"did you mean 'optimizer.learning_rate'\?"),
        ("lr=1", "did you mean 'model.lora_rank' or 'optimizer.learning_rate'"),
        ("wd=1", r"did you mean 'optimizer.weight_decay'\?"),
        ("data.batch_size=1", r"did you mean 'data.batch'\?"),
        ("max_depth=1", r"did you mean 'model.max_depth' or 'data.max_depth'\?"),
        ("epochs=3", "'epochs'; `--show` lists them"),
        ("optimizer.accumulate=0", "accumulate=0 must be at least 1"),
        ("run.log_every=0", "run.log_every=0 must be at least 1"),
        ("run.save_every=0", "run.save_every=0 must be at least 1"),
        ("run.evaluate_every=0", "run.evaluate_every=0 must be at least 1"),
        ("run.evaluate_images=-1", "run.evaluate_images=-1 must be at least 1"),
        ("run.steps=0", "recipe 'smoke': run.steps=0 must be at least 1"),
        ("run.keep=-1", "run.keep=-1 must be at least 1"),
        ("run.seed=-1", "run.seed=-1 must be at least 0"),
        ("run.skip_limit=-1", "run.skip_limit=-1 must be at least 1"),
        ("data.min_depth=0", "data.min_depth=0.0 must be above 0"),
        ("data.max_depth=0", "data.max_depth=0.0 must be above 0"),
        ("data.min_depth=2e6", r"data.min_depth=2e\+06 must be below data.max_depth"),
        ("data.batch=0", "data.batch=0 must be at least 1"),
        ("data.size=0", "data.size=0 must be at least 1"),
        ("data.augmentation.crop=0,0", "crop=0.0,0.0 must be"),
        ("data.augmentation.crop=0.9,0.5", "the first must be at most the second"),
        ("data.augmentation.jpeg=90,90", "the first must be below the second"),
        ("data.augmentation.stretch=-1", "stretch=-1.0 must be at least 0"),
        ("data.augmentation.flip_share=7", "must be at least 0 and at most 1"),
        ("loss.gradient=-1", "loss.gradient=-1.0 must be at least 0"),
        ("optimizer.learning_rate=-1", "learning_rate=-1.0 must be above 0"),
        ("optimizer.learning_rate=inf", "must be above 0 and finite"),
        ("optimizer.b1=2", "optimizer.b1=2.0 must be at least 0 and below 1"),
        ("optimizer.average=2", "average=2.0 must be at least 0 and at most 1"),
        ("optimizer.clip_norm=-1", "clip_norm=-1.0 must be above 0"),
        ("optimizer.learning_rate=fast", "'fast' is not of type float"),
        ("data.batch=2.5", "data.batch: 2.5 is not of type int"),
        ("data.batch=true", "True is not of type int"),
        ("optimizer.schedule=step", "'step' is not one of 'constant', 'linear'"),
        ("data.augmentation.jpeg=3", "not a list of 2 values"),
        ("data.batch", "write KEY=VALUE"),
        ("loss.main=silog", "does not go with model.kind"),
        ("model.max_depth=20", "give metres for metric_depth"),
        ("optimizer.accumulate=3", "in optimizer.accumulate 3 equal parts"),
        ("loss.feature=1", "needs loss.feature_reference"),
    ],
)
def test_a_setting_that_cannot_be_is_explained(assignment, message):
    with pytest.raises(ValueError, match=message):
        overrides.override(SMOKE, [assignment])


def test_every_number_has_its_range_and_infinity_is_a_number():
    numbers = {
        key
        for recipe in RECIPES.values()
        for key, value in leaves(recipe).items()
        if isinstance(value[0] if isinstance(value, tuple) and value else value, NUMBER)
        and not isinstance(value, bool)
    }
    assert numbers == set(ranges(SMOKE))
    changed = overrides.override(SMOKE, ["optimizer.clip_norm=inf"])
    assert changed.optimizer.clip_norm == float("inf")
    assert overrides.from_json(overrides.to_json(changed)) == changed
    text = overrides.to_json(SMOKE).replace('"clip_norm": 1.0', '"clip_norm": NaN')
    with pytest.raises(ValueError, match=r"clip_norm=nan must be above 0"):
        overrides.from_json(text)


def test_a_broken_recipe_file_is_explained():
    with pytest.raises(ValueError, match="not JSON"):
        overrides.from_json("{")
    text = overrides.to_json(SMOKE).replace('"trim"', '"trimm"')
    with pytest.raises(ValueError, match=r"loss\.: missing or unknown keys trimm$"):
        overrides.from_json(text)
    text = overrides.to_json(SMOKE).replace('"steps"', '"stepps"')
    with pytest.raises(ValueError, match="unknown keys stepps, steps"):
        overrides.from_json(text)


def test_a_recipe_of_an_earlier_version_has_the_defaults_of_newer_settings():
    document = json.loads(overrides.to_json(SMOKE))
    del document["model"]["lora_rank"], document["optimizer"]["lora_factor"]
    assert overrides.from_json(json.dumps(document)) == SMOKE


CONFIG = ModelConfig(
    "small",
    EncoderConfig(width=8, depth=3, heads=2, taps=(0, 1, 2, 2), mlp_hidden=8),
    HeadConfig(4, (4, 4, 4, 4), output_channels=4),
)


def test_rates_of_groups_in_the_first_step():
    settings = OptimizerSettings(
        learning_rate=1e-2, layer_decay=0.5, weight_decay=0.0, schedule="constant"
    )
    names = {
        "head/output_conv1/kernel": 10,
        "encoder/norm/scale": 1,
        "encoder/block_2/mlp/fc1/kernel": 1,
        "encoder/block_2/mlp/fc1/lora_b": 20,
        "encoder/block_1/mlp/fc1/lora_a": 10,
        "encoder/block_1/mlp/fc1/kernel": 0.5,
        "encoder/block_0/norm1/scale": 0.25,
        "encoder/patch_embed/kernel": 0.125,
        "encoder/pos_embed": 0.125,
    }
    params = {name: np.zeros((2, 3), np.float32) for name in names}
    optimizer = from_settings(settings, 10, CONFIG)
    gradient = {name: np.full((2, 3), 1e-3, np.float32) for name in names}
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    for name, factor in names.items():
        # Adam's first step is the rate itself, whatever the gradient.
        np.testing.assert_allclose(updates[name], -1e-2 * factor, rtol=1e-4)


@pytest.mark.parametrize("everything", [False, True])
def test_decay_is_scaled_by_a_groups_rate(everything):
    settings = OptimizerSettings(
        learning_rate=1e-2, weight_decay=0.1, decay_all=everything, schedule="constant"
    )
    params = {
        name: np.ones(shape, np.float32)
        for name, shape in {"head/a": (2, 2), "encoder/norm/scale": (3,)}.items()
    }
    optimizer = from_settings(settings, 10, CONFIG)
    zeros = jax.tree.map(np.zeros_like, params)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["head/a"], -1e-2 * 10 * 0.1, rtol=1e-5)
    want = -1e-2 * 0.1 if everything else 0
    np.testing.assert_allclose(updates["encoder/norm/scale"], want, rtol=1e-5)


def test_schedules_that_fall():
    linear = schedule(2.0, 100, warmup=10, kind="linear")
    got = [float(linear(t)) for t in (5, 10, 55, 100)]
    np.testing.assert_allclose(got, [1, 2, 1, 0], atol=1e-6)
    # The released script sets the rate after the step: two steps at the first rate.
    power = schedule(1.0, 100, kind="polynomial")
    got = [float(power(t)) for t in (0, 1, 2, 51, 100)]
    want = [1, 1, 0.99**0.9, 0.5**0.9, 0.01**0.9]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    with pytest.raises(ValueError, match='"linear" schedule has no separate cooldown'):
        schedule(1.0, 100, cooldown=3, kind="linear")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_the_manual_and_in_the_help(name):
    from jax_depth.cli import train

    manual = Path(__file__).parent.parent / "docs" / "training.md"
    assert f"| `{name}` |" in manual.read_text()
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    (text,) = (action.help for action in parser._actions if action.dest == "recipe")
    assert f"{name}," in text.split()
