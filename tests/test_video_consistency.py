"""Consistency is measured rightly: known depth through each way of a model of clips."""

import numpy as np
import pytest
from test_temporal import TOY

import jax_depth
from jax_depth import weights
from jax_depth.evaluation.temporal import drift
from jax_depth.inference import clip as clips
from scripts.video_consistency import consistency, ways_of
from scripts.video_flicker import floor, render

SIZE = (28, 42)
CLIP = render(33, SIZE)
# Frames whose pixels are what a network that knows all would answer.
FRAMES = np.repeat(0.5 / CLIP.depths[..., None], 3, -1).astype(np.float32)


@pytest.fixture
def knowing(monkeypatch):
    """An estimator whose network reads inverse depth off the pixels."""
    mean, std = np.float32(TOY.mean[0]), np.float32(TOY.std[0])
    calls = []

    def window(params, pixels, config):
        calls.append(len(calls))
        scale, shift = 1 + 0.5 * calls[-1], 0.2 * calls[-1]
        return np.float32(scale) * (pixels[..., 0] * std + mean) + np.float32(shift)

    def step(params, state, pixels, config):
        calls.append(len(calls))
        grown = np.float32(1.1 if calls[-1] >= 33 else 1)
        depth = grown * (pixels[..., 0] * std + mean)
        return state, jax_depth.models.output.Output(depth)

    monkeypatch.setattr(clips, "_compiled_window", lambda mesh: window)
    monkeypatch.setattr(clips, "_compiled_step", lambda: step)
    params = {"none": np.zeros(1, np.float32)}
    return jax_depth.Estimator(params, TOY, size=28), calls


@pytest.mark.parametrize("way", ["windows", "windows, exact"])
def test_exact_depth_in_windows_of_their_own_scale_is_as_steady_as_the_truth(
    knowing, way
):
    estimator, calls = knowing
    maps = np.array([m.values for m in ways_of(estimator)[way](FRAMES)])
    assert len(calls) == 3  # windows, each with another scale and shift
    np.testing.assert_allclose(maps, FRAMES[..., 0], atol=2e-5)
    found = consistency(CLIP, maps, 10)
    assert found["still"] < 1e-2 and found["drift"] < 1e-2
    np.testing.assert_allclose(found["tae"], floor(CLIP), rtol=1e-2)


def test_a_scale_that_moves_is_drift(knowing):
    estimator, _ = knowing
    maps = np.array([m.values for m in ways_of(estimator)["stream"](FRAMES)])
    found = consistency(CLIP, maps, 10)
    np.testing.assert_allclose(found["drift"], 100 * (1 - 1 / 1.1), rtol=1e-3)
    with pytest.raises(ValueError, match="first 40 frames with the last 40"):
        drift(maps, CLIP.depths, CLIP.room, 40)


def test_a_flicker_of_known_size_is_that_tae():
    half = len(CLIP.depths) // 2
    still = type(CLIP)(
        *(np.concatenate([x[:half]] * 2) for x in CLIP[:4]), camera=CLIP.camera
    )
    up, down = 1.04, 0.96
    factor = np.where(np.arange(2 * half) % 2, up, down)[:, None, None]
    found = consistency(still, factor / still.depths, 10)
    ratio = up / down
    # The one fit of all frames adds a shift, as noise does: some per cent of it.
    expected = 100 * ((ratio - 1) + (1 - 1 / ratio)) / 2
    np.testing.assert_allclose(found["tae"], expected, rtol=0.05)
    assert found["drift"] < 0.5


@pytest.mark.weights
def test_clips_are_steadier_than_their_frames():
    name = "video-depth-anything-small"
    if not weights.is_cached(name):
        pytest.skip(f"the weights of {name} are not cached on this machine")
    clip = render(150)
    rows = {}
    for way, maps_of in ways_of(jax_depth.load(name)).items():
        maps = np.array([depth.values for depth in maps_of(clip.pictures)])
        rows[way] = consistency(clip, maps)
    for measure in ("still", "tae"):
        assert rows["windows"][measure] < rows["frame"][measure], rows
