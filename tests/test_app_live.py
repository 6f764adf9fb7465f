"""Frames of a camera: what is accepted, how they are coloured, how they are counted."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

from jax_depth.app.live import Live, frame_bytes
from jax_depth.app.messages import Refusal
from jax_depth.app.service import Prediction
from jax_depth.depth_map import DepthMap
from jax_depth.outputs.color import colorize

PREFIX = "data:image/jpeg;base64,"


def pixels(address):
    return np.asarray(Image.open(io.BytesIO(frame_bytes(address))).convert("RGB"), int)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "http://127.0.0.1:1/x.jpg",
        "/etc/passwd",
        "data:image/svg+xml,<svg/>",
        PREFIX + "no base64",
    ],
)
def test_only_jpegs_that_were_sent_are_frames(url):
    with pytest.raises(Refusal, match="a frame of the camera") as caught:
        frame_bytes(url)
    assert caught.value.status == 415
    assert frame_bytes(PREFIX + base64.b64encode(b"abc").decode()) == b"abc"


def test_colours_stay_when_scale_and_shift_jump():
    random = np.random.default_rng(0)
    photo = random.integers(0, 255, (48, 64, 3), np.uint8)
    values = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    result = Prediction(photo, DepthMap(values, "inverse_depth", model="m"), 1)
    live = Live("m", metric=False)
    first = pixels(live.picture(result, "inferno"))
    margin = 0.05 * 0.98  # of the range, which leaves out a percent at both ends
    want = colorize(result.depth, "inferno", 0.01 - margin, 0.99 + margin)
    assert np.abs(first - want).mean() < 4  # JPEG
    jumped = dataclasses.replace(result.depth, values=3 * values + 7)
    second = pixels(live.picture(dataclasses.replace(result, depth=jumped), "inferno"))
    assert np.abs(second - first).mean() < 1
    # Metres are what they are.
    metric = Live("m", metric=True)
    metric.picture(result, "inferno")
    metres = metric.picture(dataclasses.replace(result, depth=jumped), "inferno")
    assert np.abs(pixels(metres) - first).mean() > 30


def test_a_black_frame_is_a_picture_and_nan_a_sentence():
    photo = np.zeros((48, 64, 3), np.uint8)
    flat = np.zeros((48, 64), np.float32)
    live = Live("m", metric=False)
    shown = live.picture(Prediction(photo, DepthMap(flat, "inverse_depth"), 1), "gray")
    assert pixels(shown).max() < 3
    with pytest.raises(Refusal, match="NaN or infinite"):
        bad = DepthMap(flat * np.float32("nan"), "inverse_depth")
        live.picture(Prediction(photo, bad, 1), "gray")


def test_the_speed_is_that_of_late():
    live = Live("m", metric=False)
    assert live.count(0.0) == 0
    assert [live.count(0.5 * i) for i in range(1, 4)] == [2.0] * 3
    rates = [live.count(1.5 + 0.1 * i) for i in range(1, 40)]
    assert abs(rates[-1] - 10) < 1e-6  # the last thirty frames only
    # The camera was off.
    assert live.count(60.0) == 0 and abs(live.count(60.25) - 4) < 1e-6
