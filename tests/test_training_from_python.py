"""`train` from Python: own losses, optimisers and callbacks, and what it gives back."""

import dataclasses
import json
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from training_run import one_device, recipe

import jax_depth
from jax_depth.data.sample import labelled_sample
from jax_depth.training import mesh as meshes
from jax_depth.training.history import HeldOut, Patience
from jax_depth.training.loop import TrainingData, train
from jax_depth.training.optimizer import rates
from jax_depth.training.recipe import OptimizerSettings
from jax_depth.training.shapes import Shapes

DATA = TrainingData([Shapes(count=16)], held_out=Shapes("heldout", 2))
SHORT = ("run.steps=3", "optimizer.warmup=1")


pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(meshes, "make_mesh", one_device)


def l1(pred, target, mask):
    return jnp.where(mask, jnp.abs(pred - target), 0.0).mean()


@pytest.mark.long
def test_the_history_is_the_log(tmp_path):
    history = train(recipe(*SHORT), DATA, tmp_path)
    written = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert list(history) == written
    assert history.steps == 3 and not history.interrupted
    assert sorted(history.values("loss")) == [1, 2, 3]
    assert sorted(history.values("held_out/abs_rel")) == [0, 3]
    last = [line for line in history if "loss" in line][-1]
    assert last["epoch"] == 3 * 8 / 16
    assert last["share_of_depth_used"] == 1 and last["images_per_second"] > 0
    assert last["seconds_left"] == 0 and last["time"] > 1.7e9
    # Of the step that was taken: cosine from 2e-3 after one step of warm-up.
    want = 2e-3 * 0.5 * (1 + math.cos(math.pi * 1 / 2))
    assert last["learning_rate/head"] == pytest.approx(want, rel=1e-5)
    with Image.open(tmp_path / "first_batch.png") as shown:
        assert shown.size == (3 * 28, 8 * 28)


@pytest.mark.slow
def test_a_loss_and_an_optimizer_of_ones_own(tmp_path):
    history = train(recipe(*SHORT), DATA, tmp_path, loss=l1, optimizer=optax.sgd(1e-3))
    lines = [line for line in history if "loss" in line]
    for line in lines:
        assert line["loss"] == line["labelled/l1"] > 0
        assert not any("affine" in k or k.startswith("learning_rate") for k in line)
    # The recipe says which.
    saved = json.loads((tmp_path / "recipe.json").read_text())
    assert saved["loss"]["terms"][0]["loss"] == f"{__name__}:l1"
    # Another optimizer's state is no damage: nothing is set aside.
    with pytest.raises(ValueError, match=r"checkpoints/3 .*another --workdir"):
        train(recipe(*SHORT), DATA, tmp_path, loss=l1)
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"3"}


@pytest.mark.slow
def test_callbacks_see_the_log_and_end_the_run(tmp_path):
    seen = []

    def callback(step, values):
        seen.append((step, sorted(values)))
        return step == 2 and "loss" in values

    history = train(recipe(*SHORT), DATA, tmp_path, callbacks=[callback])
    assert history.steps == 2 and not history.interrupted
    assert [step for step, names in seen if "loss" in names] == [1, 2]
    assert (0, True) in [(s, "held_out/abs_rel" in names) for s, names in seen]
    assert (tmp_path / "checkpoints" / "2").is_dir()


@pytest.mark.slow
def test_a_dataset_or_a_name_is_data_and_a_name_a_recipe(tmp_path):
    history = train(recipe(*SHORT), [Shapes(count=16)], tmp_path)
    assert history.steps == 3


@pytest.mark.slow
def test_several_held_out_sets_and_the_best_by_another_metric(tmp_path):
    data = TrainingData(
        [Shapes(count=16)],
        held_out=[
            HeldOut(Shapes("heldout", 2), "a", every=2),
            HeldOut(Shapes("heldout", 3), "b"),
        ],
    )
    settings = recipe(*SHORT, "run.best=b/d1")
    history = train(settings, data, tmp_path)
    assert sorted(history.values("held_out/a/abs_rel")) == [0, 2, 3]
    assert sorted(history.values("held_out/b/abs_rel")) == [0, 3]
    from jax_depth.training.checkpoints import Checkpoints

    kept = Checkpoints(tmp_path, 2, "b/d1", greatest=True)
    assert kept.best() == history.values("held_out/b/d1")[3]
    kept.close()
    judged = train(settings, data, tmp_path, judge_only=True)
    assert judged.steps == 3
    for name in ("held_out/a/abs_rel", "held_out/b/d1"):
        assert judged.values(name)[3] == history.values(name)[3]


@pytest.mark.long
def test_patience_ends_a_run_and_outlives_the_process(tmp_path, monkeypatch):
    from jax_depth.training import loop

    judged = iter([0.5, 0.4, 0.6, 0.45, 0.1])
    monkeypatch.setattr(
        loop, "evaluate_held_out", lambda *_: ({"abs_rel": next(judged)}, [])
    )
    settings = recipe(
        "run.steps=9", "run.evaluate_every=1", "run.patience=2", "optimizer.warmup=1"
    )
    history = train(settings, DATA, tmp_path)
    assert (history.steps, history.early) == (3, True)
    again = train(settings, DATA, tmp_path)  # judges nothing
    assert (again.steps, again.early) == (3, True)
    assert next(judged) == 0.1


def test_patience_counts_what_was_not_better():
    patience = Patience(2, "d1")
    for value, over in ((0.5, False), (0.4, False), (0.6, False), (0.6, False)):
        patience.judge(value)
        assert patience.over == over
    patience.judge(0.1)
    assert patience.over
    assert not Patience(0, "d1").over


@pytest.mark.long
def test_a_checkpoint_by_minutes_and_a_profile(tmp_path):
    settings = recipe(
        "run.steps=4",
        "optimizer.warmup=1",
        "run.save_every=1000",
        "run.save_minutes=1e-9",
        "run.keep=9",
        "run.profile=2,3",
    )
    train(settings, [Shapes(count=16)], tmp_path)
    saved = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    assert saved == {"1", "2", "3", "4"}
    assert list((tmp_path / "tensorboard").rglob("*.xplane.pb"))


class Millimetres(Shapes):
    """Depth in millimetres that is declared centimetres."""

    def _read(self, index):
        depth = np.linspace(0.7, 6, 1200, dtype=np.float32).reshape(30, 40)
        rgb = np.full((30, 40, 3), index, np.uint8)
        return labelled_sample(rgb, depth * 10, "metric_depth", "m", self.names[index])


@pytest.mark.long
def test_a_wrong_unit_is_seen_at_the_start(tmp_path):
    settings = recipe(
        *SHORT,
        "model.kind=metric_depth",
        "model.max_depth=20",
        "loss.main=silog",
        "loss.gauge=0",
    )
    history = train(settings, [Millimetres(count=5)], tmp_path)
    line = next(x for x in history if "median" in x)
    assert line["pairs"] == 5
    depth = np.linspace(7, 60, 1200)
    want = [np.percentile(depth, q) for q in (1, 50, 99)]
    got = [line[k] for k in ("low", "median", "high")]
    np.testing.assert_allclose(got, want, rtol=1e-3)
    used = (depth <= 20).mean()
    assert line["share_of_depth_used"] == pytest.approx(used, abs=1e-3)
    assert "median 33.5 m" in line["note"] and "5 pairs" in line["note"]
    (warning,) = [x["note"] for x in history if "warning" in x.get("note", "")]
    assert "75%" in warning and "unit" in warning and "20 m" in warning
    logged = next(x for x in history if "loss" in x)
    assert logged["share_of_depth_used"] == pytest.approx(used, abs=1e-3)


def test_rates_by_group():
    from test_recipes import CONFIG

    settings = OptimizerSettings(learning_rate=1e-2, warmup=2, schedule="constant")
    names = [
        "head/x",
        "encoder/norm/scale",
        "encoder/block_2/a",
        "encoder/block_0/a",
        "encoder/pos_embed",
    ]
    assert rates(settings, 10, CONFIG, names)(1) == {
        "encoder": pytest.approx(5e-3),
        "head": pytest.approx(5e-2),
    }
    import dataclasses

    slower = dataclasses.replace(settings, layer_decay=0.5)
    assert rates(slower, 10, CONFIG, names)(5) == {
        "head": pytest.approx(1e-1),
        "encoder/block_2": pytest.approx(1e-2),
        "encoder/block_0": pytest.approx(2.5e-3),
        "encoder/embedding": pytest.approx(1.25e-3),
    }


@pytest.mark.slow
def test_the_best_by_what_nobody_measures_is_refused_at_the_start(tmp_path):
    with pytest.raises(ValueError, match=r"run\.best='d4' .*abs_rel, d1, "):
        train(recipe(*SHORT, "run.best=d4"), DATA, tmp_path)
    assert not (tmp_path / "checkpoints" / "3").exists()


@pytest.mark.parametrize(
    ("init", "architecture", "taken"),
    [
        ("tiny", "smoke", "tiny"),
        ("tiny", "tiny", "tiny"),
        ("dinov2-small", "depth-anything-v2-small", "depth-anything-v2-small"),
        (
            "depth-anything-v2-metric-outdoor-small",
            "depth-anything-v2-small",
            "depth-anything-v2-small",
        ),
        ("depth-anything-v2-base", "depth-anything-v2-small", "depth-anything-v2-base"),
        ("nowhere", "smoke", "smoke"),
    ],
)
def test_weights_to_start_from_choose_the_network(init, architecture, taken):
    from jax_depth.training.start import architecture_of

    assert architecture_of(init, architecture) == taken


def test_a_folder_to_start_from_chooses_the_network(tmp_path):
    import jax

    from jax_depth import checkpoint
    from jax_depth.models.initialize import init
    from jax_depth.training.start import architecture_of, model_config

    config = model_config(recipe())
    checkpoint.save(tmp_path / "own", init(config, jax.random.key(0)), config)
    assert architecture_of(str(tmp_path / "own"), "tiny") == "smoke"

    # As it was before its transformer saw a reduced copy: the same parameters.
    tiny = jax_depth.load("tiny")
    encoder = dataclasses.replace(tiny.config.encoder, coarse_size=None)
    config = dataclasses.replace(tiny.config, encoder=encoder)
    checkpoint.save(tmp_path / "before", tiny.params, config)
    assert architecture_of(str(tmp_path / "before"), "smoke") == "tiny"
