"""What a run keeps and shows: checkpoints, the best model, log, pictures, rates."""

import dataclasses
import errno
import io
import json
import shutil
import struct
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event
from training_run import one_device, recipe, run

import jax_depth
import jax_depth_convert
from jax_depth import checkpoint
from jax_depth.models.initialize import init
from jax_depth.training import loop, throughput
from jax_depth.training import mesh as meshes
from jax_depth.training.board import Board
from jax_depth.training.checkpoints import Checkpoints
from jax_depth.training.journal import Journal
from jax_depth.training.start import initial_params, model_config
from jax_depth.training.step import TrainState

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(meshes, "make_mesh", one_device)


def events(workdir):
    """Yield the values in a TensorBoard file, read as a TFRecord file."""
    for path in (workdir / "tensorboard").iterdir():
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                yield event.step, value


def test_the_newest_and_the_best_checkpoint_are_kept(tmp_path):
    def state(number):
        one = {"w": np.full(3, number, np.float32)}
        return TrainState(np.asarray(number, np.int32), one, {}, one, [])

    kept = Checkpoints(tmp_path, keep=2)
    for number, value in enumerate([0.5, 0.2, 0.4, None, 0.3, None], 1):
        kept.save(state(number), None if value is None else {"abs_rel": value})
    kept.wait()
    assert kept.best() == 0.2
    kept.close()
    found = {int(p.name) for p in (tmp_path / "checkpoints").iterdir()}
    assert found == {2, 5, 6}
    again = Checkpoints(tmp_path, keep=2)
    assert again.latest() == 6 and again.best() == 0.2
    restored = again.restore(2, state(0))
    again.close()
    np.testing.assert_array_equal(restored.average["w"], [2, 2, 2])


@pytest.mark.long
def test_the_folders_model_is_that_of_the_best_evaluation(tmp_path, monkeypatch):
    judged = iter([0.9, 0.4, 0.1, 0.3, 0.2])
    seen = []

    def evaluate(params, *_):
        seen.append(checkpoint.flatten(jax.device_get(params)))
        return {"abs_rel": next(judged)}, [np.zeros((4, 12, 3), np.uint8)]

    monkeypatch.setattr(loop, "evaluate_held_out", evaluate)
    run(tmp_path, "run.evaluate_every=5", "run.save_every=5", held_out=True)
    assert len(seen) == 5  # before the first step too
    params = checkpoint.flatten(jax_depth.load(str(tmp_path)).params)
    for name, leaf in params.items():
        np.testing.assert_array_equal(leaf, seen[2][name])
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir()}
    assert kept == {10, 15, 20}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_on_a_terminal_and_nowhere_else(tmp_path, monkeypatch, terminal):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    journal = Journal(tmp_path, 3, 8)
    values = {"loss": 0.25, "learning_rate/head": 1e-3, "images_per_second": 2.5}
    for step in range(4, 9):
        journal.write(step, values)
        journal.advance()
    journal.say("a note")
    journal.close()
    shown = stream.getvalue()
    assert "train: a note" in shown
    assert "step 4 of 8: loss 0.2500, head's rate 0.001, 2.5 pictures/s" in shown
    assert ("8/8" in shown and "loss=0.2500" in shown) == terminal
    lines = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0] == {"step": 4} | values
    assert lines[-1] == {"note": "a note"}


def test_numbers_and_pictures_are_in_tensorboard(tmp_path):
    picture = np.zeros((6, 18, 3), np.uint8)
    picture[2, 7] = 200, 100, 50
    journal = Journal(tmp_path, 0, 8)
    journal.write(5, {"loss": 0.25, "note": "text"})
    journal.pictures(5, [picture])
    journal.close()
    found = {value.tag: (step, value) for step, value in events(tmp_path)}
    assert found["loss"][0] == 5 and found["loss"][1].simple_value == 0.25
    step, value = found["held_out/0"]
    shown = Image.open(io.BytesIO(value.image.encoded_image_string))
    assert step == 5
    np.testing.assert_array_equal(np.asarray(shown), picture)


def test_a_full_disk_ends_tensorboard_alone_and_the_log_names_its_file(tmp_path):
    full = Path("/dev/full")  # every write fails with ENOSPC
    if not full.exists():
        pytest.skip("no /dev/full here")
    board = Board(tmp_path / "tensorboard", 0)
    records = board._writer._py_recordio_writer
    records._writer.close()
    records._writer = open(full, "wb", buffering=0)
    for step in range(20):  # more than a queue would take
        board.scalar("loss", 0.5, step)
    board.close()
    journal = Journal(tmp_path, 0, 8)
    log = journal._file.name
    journal._file.close()
    journal._file = open(full, "a", encoding="utf-8")
    with pytest.raises(OSError, match="the log cannot go on") as caught:
        journal.write(1, {"loss": 0.25})
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(full) and log.endswith("log.jsonl")
    journal.close()


def test_a_panel_shows_picture_truth_and_prediction():
    from jax_depth.training.panels import panel

    rgb = np.full((50, 70, 3), 90, np.uint8)
    near = np.linspace(0, 1, 3500, dtype=np.float32).reshape(50, 70)
    mask = near > 0.2
    shown = panel(rgb, near, mask, near, metric=False, caption="AbsRel 0.1")
    strip = shown[:-50]
    assert shown.shape[1:] == (210, 3)
    for words in np.split(strip, 3, 1):
        assert words.min() < 60 and words.max() == 255  # black on white
    picture, truth, prediction = np.split(shown[-50:], 3, 1)
    np.testing.assert_array_equal(picture, rgb)
    assert not truth[~mask].any()
    # One range, near red and far blue, in both.
    np.testing.assert_array_equal(truth[mask], prediction[mask])
    assert truth[-1, -1, 0] > truth[-1, -1, 2]
    assert prediction[0, 0, 2] > prediction[0, 0, 0]
    metres = panel(rgb, near + 1, mask, near + 1, metric=True)[-50:, 140:]
    assert metres[0, 0, 0] > metres[0, 0, 2] and metres[-1, -1, 2] > metres[-1, -1, 0]
    # Large photos are small there.
    large = np.zeros((900, 1800, 3), np.uint8)
    zeros = np.zeros((900, 1800), np.float32)
    assert panel(large, zeros, zeros > 1, zeros, True).shape == (174, 960, 3)


def test_rates_and_utilisation(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(throughput, "_PEAKS", {"cpu": 1e9})
    clock = throughput.Throughput(batch=16, flops=10**6)
    assert clock.since_last(5) == {}  # it compiled
    with clock.waiting():
        now[0] += 1
    now[0] += 3
    with clock.paused():
        now[0] += 50
    rates = clock.since_last(10)
    per_device = 10 * 16 / 4 / 8
    assert rates == {
        "images_per_second_per_device": per_device,
        "flops_per_second_per_device": per_device * 1e6,
        "waiting_for_data": 0.25,
        "mfu": per_device * 1e6 / 1e9,
    }


@pytest.mark.long
def test_a_run_starts_from_another_and_goes_on_without_it(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    run(first, "run.steps=1", "run.save_every=1")
    metric = (
        "optimizer.schedule=constant",  # one program, however many steps
        "model.kind=metric_depth",
        "model.max_depth=20",
        f"model.init={first}",
        "loss.main=silog",
        "loss.gradient=0",
    )
    # The head has to turn round.
    with pytest.warns(UserWarning, match="predicts inverse_depth, this run metric"):
        run(second, *metric, "run.steps=1", "run.save_every=1")
    shutil.rmtree(first)
    assert run(second, *metric, "run.steps=2").steps == 2
    assert jax_depth.load(str(second)).config.kind == "metric_depth"


@pytest.mark.parametrize("parts", ["all", "encoder"])
@pytest.mark.parametrize("form", ["folder", "model.pth", "model.safetensors"])
def test_a_run_starts_from_a_folder_or_a_weight_file(tmp_path, form, parts):
    settings = recipe(f"model.init={tmp_path / form}", f"model.init_parts={parts}")
    config = model_config(settings)
    stored = config
    if parts == "encoder":
        stored = dataclasses.replace(config, head=None, kind="features")
    params = init(stored, jax.random.key(9))
    checkpoint.save(tmp_path / "folder", params, stored)
    if form != "folder":
        target = tmp_path / form
        jax_depth_convert.convert(tmp_path / "folder", None, target, to="original")
    got = checkpoint.flatten(initial_params(settings, config))
    want = checkpoint.flatten(params)
    for name, leaf in want.items():
        np.testing.assert_array_equal(got[name], leaf)
    fresh = checkpoint.flatten(init(config, jax.random.key(0)))
    for name in fresh.keys() - want.keys():
        np.testing.assert_array_equal(got[name], fresh[name])


def test_a_wrong_start_is_one_sentence(tmp_path):
    for name, sentence in {
        "small.pth": "no such file",
        "smal": "'smal'.*--init",
    }.items():
        settings = recipe(f"model.init={name}")
        with pytest.raises((ValueError, OSError), match=sentence):
            initial_params(settings, model_config(settings))
