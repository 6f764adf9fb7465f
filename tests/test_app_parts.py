"""Parts of the web app by themselves: limits, warming up, kept results, examples."""

import dataclasses
import threading
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

from app_server import ROOT
from test_temporal import TOY

from jax_depth.app import models
from jax_depth.app.addresses import is_host, is_loopback
from jax_depth.app.batching import Batcher
from jax_depth.app.in_metres import described, in_metres
from jax_depth.app.limits import Limits
from jax_depth.app.looks import Look, write_pictures
from jax_depth.app.messages import Refusal
from jax_depth.app.models import example_photos
from jax_depth.app.queued import QueuedEstimator
from jax_depth.app.service import Prediction
from jax_depth.app.store import Store
from jax_depth.app.video_tab import _Film
from jax_depth.depth_map import DepthMap
from jax_depth.inference import clip
from jax_depth.inference.estimator import Estimator
from jax_depth.inference.preprocess import processing_size
from jax_depth.models.output import Output


def test_usual_photos_are_compiled_before_anyone_asks(monkeypatch):
    shapes = []
    monkeypatch.setattr(models, "_QUIET", 0.05)

    def run(pixels):
        shapes.append(pixels.shape)
        return pixels[..., 0]

    encoder = types.SimpleNamespace(patch_size=14)
    estimator = types.SimpleNamespace(
        config=types.SimpleNamespace(encoder=encoder),
        size=56,
        resample="original",
        run=run,
    )
    batcher = Batcher(capacity=8, batch_size=4)
    try:
        with models.warm_up(estimator, batcher):
            # Single pictures are ready by now, two and four at a time follow.
            alone = [shape for shape in shapes if shape[0] == 1]
            assert shapes == alone
            for _ in range(1000):
                if len(shapes) == 3 * len(alone):
                    break
                time.sleep(0.01)
    finally:
        batcher.close()
    assert len(set(shapes)) == len(shapes)
    # Photos of a phone, lying and upright; one at a time first.
    for count in (1, 2, 4):
        for height, width in ((3024, 4032), (4032, 3024), (2160, 3840), (300, 451)):
            seen = processing_size(height, width, 56, 14)
            assert (count, *seen, 3) in shapes
    assert [shape[0] for shape in shapes] == sorted(shape[0] for shape in shapes)


def test_nothing_is_compiled_while_a_user_is_there(monkeypatch):
    sizes = []
    monkeypatch.setattr(models, "_QUIET", 60.0)
    monkeypatch.setattr(models, "_shapes", lambda _: [(14, 14)])
    estimator = types.SimpleNamespace(run=lambda pixels: sizes.append(len(pixels)))
    batcher = Batcher(capacity=8, batch_size=4)
    try:
        with models.warm_up(estimator, batcher):
            assert batcher.idle_seconds < 60
            time.sleep(0.05)
        assert sizes == [1]  # and the block ends though the rest is not made
        before = batcher.idle_seconds
        picture = np.zeros((1, 14, 14, 3), np.float32)
        batcher.submit("any", lambda x: x[..., 0], picture, 5).result()
        assert batcher.idle_seconds < before
    finally:
        batcher.close()


def test_the_picture_shown_keeps_the_range_of_the_whole_map(tmp_path):
    values = np.zeros((40, 4000), np.float32)
    values[20, 2000], values[:, :2000] = 9.0, 4.5
    photo = np.zeros((*values.shape, 3), np.uint8)
    large = Prediction(photo, DepthMap(values, "inverse_depth"), 1)
    _, path = write_pictures(large, Look("gray"), tmp_path / "a")
    seen = np.asarray(Image.open(path))
    assert seen.shape == (13, 1280, 3)
    # Half of the greatest value, though that one is but a speck.
    assert abs(int(seen[6, 200, 0]) - 127) <= 2
    write_pictures(result(2.0), Look(), tmp_path / "b")  # no range at all


def result(value: float, side=10) -> Prediction:
    photo = np.zeros((side, side, 3), np.uint8)
    values = np.full((side, side), value, np.float32)
    return Prediction(photo, DepthMap(values, "inverse_depth"), 1)


def test_only_the_newest_results_are_kept():
    store = Store(kept_bytes=3 * (300 + 400))
    names = [store.put(result(i)) for i in range(3)]
    assert len(set(names)) == 3
    assert store.get(names[0]).depth.values[0, 0] == 0  # and it is the newest now
    store.put(result(3))
    assert store.get(names[1]) is None
    assert store.get(names[0]) is not None and store.get(names[2]) is not None
    # One larger than the limit pushes out all others and stays.
    large = store.put(result(4, side=100))
    assert store.get(large) is not None and store.get(names[0]) is None
    assert store.get("unknown") is None and store.get(None) is None


def test_points_of_a_photo_are_measured():
    """A wall 2 m away, 60 degrees wide, of which a metre is known by hand."""
    photo = np.zeros((40, 100, 3), np.uint8)
    depth = DepthMap(np.full((40, 100), 2.0, np.float32), "metric_depth", "m")
    wall = in_metres(Prediction(photo, depth, 1), Path("none.jpg"), None, None, 60)
    assert wall.said.endswith("distances by the model")
    # The corner is half of 99/100 of 2 tan(30) x 2 m to the left.
    side = 0.99 * 2 * np.tan(np.radians(30))
    np.testing.assert_allclose(wall.point(0, 0), [-side, -side * 39 / 99, 2.0])
    lines = described(wall, {"A": (0, 39), "B": (99, 39)})
    assert lines[0] == f"A and B are {2 * side:.2f} m apart"
    assert lines[1].startswith("A at (0, 39): 2.00 m ahead ")
    for words in ("1.14 m to the left", "0.450 m below", "2.35 m away"):
        assert words in lines[1]
    with pytest.raises(Refusal, match="B is outside the photo, whose columns are 0"):
        described(wall, {"A": (0, 39), "B": (100, 39)})


def test_without_metres_nothing_is_measured():
    values = np.linspace(1, 4, 4000, dtype=np.float32).reshape(40, 100)
    photo = np.zeros((40, 100, 3), np.uint8)
    kept = Prediction(photo, DepthMap(values, "inverse_depth", model="tiny"), 1)
    with pytest.raises(Refusal, match="tiny gives no metres: neither the scale"):
        in_metres(kept, Path("none.jpg"), None, 4.0, 0)
    stated = in_metres(kept, Path("none.jpg"), 1.0, 4.0, 60)
    assert "1 to 4 m, since tiny gives no metres" in stated.said
    np.testing.assert_allclose(stated.point(99, 39)[2], 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["pixels", "waiting", "seconds", "upload_bytes"])
def test_limits_are_above_zero(name):
    with pytest.raises(ValueError, match=f"the limit {name} is 0"):
        Limits(**{name: 0})


def test_examples_are_those_of_the_repository():
    found = {path.name: path.read_bytes() for path in example_photos()}
    expected = (ROOT / "examples").glob("*.jpg")
    assert found == {path.name: path.read_bytes() for path in expected}


@pytest.mark.parametrize(
    "host, here",
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_loopback_is_known(host, here):
    assert is_loopback(host) == here


@pytest.mark.parametrize(
    "name, right",
    [
        ("depth.example.org", True),
        ("Depth", True),
        ("*.example.org", True),
        ("192.168.1.2", True),
        ("fd00::1", True),
        ("", False),
        ("*", False),
        ("a.*.org", False),
        ("https://example.org", False),
        ("example.org:8000", False),
        ("example.org/depth", False),
    ],
)
def test_what_may_be_the_name_of_a_host(name, right):
    assert is_host(name) == right


def test_a_model_of_clips_runs_frame_by_frame_through_the_queue(tmp_path, monkeypatch):
    pytest.importorskip("av", reason="needs jax_depth[video]")
    from clips import read_clip, write_clip

    seen, threads = [], set()

    def step(params, state, pixels, config):
        frame = 0 if not seen else seen[-1] + 1
        assert (frame == 0) == (state.frame == 0)  # what the step before left behind
        seen.append(frame)
        threads.add(threading.current_thread().name)
        state = dataclasses.replace(state, frame=state.frame + 1)
        return state, Output(pixels[..., 0] + np.float32(frame))

    monkeypatch.setattr(clip, "_compiled_step", lambda: step)
    params = {"none": np.zeros(1, np.float32)}
    estimator = Estimator(params, TOY, size=28, devices=jax.devices()[:1])
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_clip(source, np.full((5, 28, 42, 3), 128, np.uint8))
    batcher = Batcher(2, 4)
    try:
        film = _Film(source, target, "stream", "inferno", Limits())
        film.make(QueuedEstimator(estimator, 28, batcher, Limits()))
    finally:
        batcher.close()
    assert seen == [0, 1, 2, 3, 4] and threads == {"jax-depth-batcher"}
    assert len(read_clip(target)[0]) == 5
    assert "computed from those before it" in film.summary()
