"""The loop: learning, devices, accumulation, what a run leaves behind, mistakes."""

import json

import numpy as np
import pytest
from small_models import assert_same
from training_run import losses, one_device, recipe, run

import jax_depth
from jax_depth.checkpoint import flatten
from jax_depth.training import mesh as meshes
from jax_depth.training.checkpoints import Checkpoints
from jax_depth.training.loop import NotFinite, TrainingData, train
from jax_depth.training.shapes import Shapes

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 20 steps on 4 x 2 devices."""
    workdir = tmp_path_factory.mktemp("run") / "run"
    outcome = run(workdir, "run.fsdp=2", "run.save_every=10", held_out=True)
    assert outcome.steps == 20 and not outcome.interrupted
    return workdir


@pytest.mark.slow
def test_a_run_leaves_a_model_that_loads(whole):
    estimator = jax_depth.load(str(whole))
    assert estimator.config.name == "smoke-smoke"
    depth = estimator(np.zeros((40, 60, 3), np.uint8))
    assert depth.values.shape == (40, 60) and depth.kind == "inverse_depth"
    resolved = json.loads((whole / "recipe.json").read_text())
    assert resolved["run"]["fsdp"] == 2
    assert any((whole / "tensorboard").iterdir())
    lines = [json.loads(x) for x in (whole / "log.jsonl").read_text().splitlines()]
    held_out = [e for e in lines if "held_out/abs_rel" in e]
    assert held_out[-1]["step"] == 20 and held_out[-1]["held_out/images"] == 4
    last = next(e for e in lines if e.get("step") == 20 and "loss" in e)
    assert 0 <= last["waiting_for_data"] <= 1
    assert last["flops_per_second_per_device"] > 0


@pytest.mark.slow
def test_what_a_run_leaves_converts_back(whole, tmp_path):
    from jax_depth.cli.main import main

    target = tmp_path / "model.pth"
    assert main(["convert", str(whole), "--to", str(target)]) == 0
    params, config = jax_depth.load_params(whole)
    again, _ = jax_depth.load_params(target, model=config)
    assert_same(flatten(again), flatten(params))


@pytest.mark.long
def test_accumulated_parts_give_the_whole_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    run(tmp_path / "a", "run.steps=3")
    run(tmp_path / "b", "run.steps=3", "optimizer.accumulate=2")
    want = [float(v) for v in losses(tmp_path / "a").values()]
    got = [float(v) for v in losses(tmp_path / "b").values()]
    # Adam's first steps move a weight by the sign of its gradient: where that is within
    # rounding of 0, sums in another order send it the other way.
    np.testing.assert_allclose(got, want, rtol=1e-4)
    for name in ("a", "b"):
        manager = Checkpoints(tmp_path / name)
        assert manager.latest() == {"a": 3, "b": 6}[name]
        manager.close()


@pytest.mark.slow
def test_steps_without_a_finite_gradient_end_the_run_with_names(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "make_mesh", one_device)
    data = TrainingData([Shapes(count=8)])
    poison = recipe("run.skip_limit=3", "optimizer.learning_rate=1e30")
    with pytest.raises(NotFinite, match=r"3 steps in a row .* shapes/train/0000"):
        train(poison, data, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.size=30"], "data.size=30 is not a multiple of 14, .* use 28"),
        (["run.fsdp=3"], "run.fsdp=3 does not divide the 8 devices"),
        (["data.batch=12"], "batch of 12 pictures .* among 8 devices"),
        (["model.architecture=dinov2-small"], "is a bare encoder"),
        (["model.architecture=vits"], "is unknown"),
        (["model.init=tiny"], "is model 'tiny': .* do not fit model 'smoke-smoke'"),
        (["model.frozen=encoder/stem"], "'encoder/stem', so none is frozen"),
    ],
)
def test_what_does_not_fit_is_said(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, *changes)
