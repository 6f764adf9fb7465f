"""Range calibration: measured, saved, used by predict."""

import argparse
import json

import numpy as np
import pytest
from fake_estimator import FakeEstimator
from PIL import Image

from jax_depth.cli import calibrate as command
from jax_depth.cli import predict
from jax_depth.cli.display_range import shown_range
from jax_depth.cli.main import main
from jax_depth.cli.usage import UsageError
from jax_depth.depth_map import DepthMap
from jax_depth.outputs.calibration import RangeCalibration, calibrate


def test_every_picture_counts_the_same_whatever_its_size():
    rng = np.random.default_rng(0)
    small = DepthMap(rng.uniform(0, 10, (40, 50)), "inverse_depth", model="m")
    large = DepthMap(rng.uniform(10, 20, (400, 500)), "inverse_depth", model="m")
    got = calibrate(iter([small, large]), (25.0, 75.0), size=518)
    # Half of the values are uniform in 0..10, half in 10..20.
    np.testing.assert_allclose((got.low, got.high), (5, 15), atol=0.3)
    assert (got.model, got.pictures, got.size) == ("m", 2, 518)


def test_it_is_saved_and_read(tmp_path):
    depth = DepthMap(np.arange(12.0).reshape(3, 4), "inverse_depth", model="m")
    found = calibrate([depth])
    found.save(tmp_path / "new/m.json")
    assert RangeCalibration.load(tmp_path / "new/m.json") == found
    for text in ("{", "[]", '{"format": "other"}', json.dumps({"format": 1})):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json is not a range calibration"):
            RangeCalibration.load(tmp_path / "bad.json")


def test_what_has_no_range_is_refused():
    flat = DepthMap(np.ones((3, 4)), "inverse_depth")
    with pytest.raises(ValueError, match="no pictures"):
        calibrate([])
    with pytest.raises(ValueError, match="the range 1 to 1 is empty"):
        calibrate([flat])
    with pytest.raises(ValueError, match="share no range"):
        calibrate([flat, DepthMap(np.ones((3, 4)), "depth")])
    with pytest.raises(ValueError, match="NaN or infinite"):
        calibrate([DepthMap(np.full((3, 4), np.nan), "depth")])


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_estimator", lambda args: fake())
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 200, (9, 13, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"in/{k}.png")


def fake():
    estimator = FakeEstimator()
    estimator.size = 518
    return estimator


def test_the_command_measures_and_remembers(photos, tmp_path, capsys):
    assert main(["calibrate", "in", "missing.png"]) == 1
    out, err = capsys.readouterr()
    found = RangeCalibration.load(tmp_path / "cache/ranges/fake.json")
    assert (found.pictures, found.percentiles) == (3, (2.0, 98.0))
    assert f"fake: {found.low:.4g} to {found.high:.4g} over 3 pictures" in out
    assert "missing.png" in err
    config = fake().config
    assert shown_range("calibrated", config) == (found.low, found.high)


def test_what_cannot_be_calibrated_is_named(photos, capsys):
    assert main(["calibrate", "gone.png"]) == 1
    err = capsys.readouterr().err
    assert "'gone.png' does not exist" in err and "no pictures to calibrate on" in err
    assert main(["calibrate", "in", "-o", "in/0.png/range.json"]) == 2
    assert "'in/0.png' cannot be written to" in capsys.readouterr().err


def test_ranges_of_predict(photos, tmp_path):
    config = fake().config
    assert shown_range(None, config) == (None, None)
    assert shown_range("photo", config) == (None, None)
    assert shown_range("0:80", config) == (0.0, 80.0)
    for text, sentence in (
        ("8:2", "write LOW:HIGH"),
        ("-inf:3", "write LOW:HIGH"),
        ("0:1e39", "write LOW:HIGH"),
        ("1:1.00000001", "write LOW:HIGH"),
        ("a:b", "write LOW:HIGH"),
        ("calibrated", "make it with `jax-depth calibrate --model fake PHOTOS`"),
        ("foo", "calibrate --model fake -o foo PHOTOS`, or give photo, calibrated or"),
        ("in", r"--range in: in cannot be read \(Is a directory\); give photo, "),
    ):
        with pytest.raises(UsageError, match=sentence):
            shown_range(text, config)
    args = argparse.Namespace(model="a folder", encoder=None, weights=None)
    with pytest.raises(UsageError, match="calibrate --model 'a folder' PHOTOS`"):
        shown_range("calibrated", config, args)
    args = argparse.Namespace(model=None, encoder="vits", weights="w.pth")
    with pytest.raises(UsageError, match=r"-v2-small --weights w\.pth -o foo"):
        shown_range("foo", config, args)
    other = RangeCalibration("tiny", "inverse_depth", 0.0, 9.0, (2.0, 98.0), 1)
    other.save("tiny.json")
    with pytest.raises(UsageError, match=r"is of tiny .*, not of fake"):
        shown_range("tiny.json", config)


def test_predict_draws_every_photo_on_the_calibrated_scale(photos, monkeypatch):
    estimator = fake()
    monkeypatch.setattr(predict, "load_estimator", lambda args: estimator)
    argv = ["predict", "in", "-o", "out", "--format", "png8", "--quiet", "--range"]
    assert main([*argv, "calibrated"]) == 2
    assert main(["calibrate", "in"]) == 0
    assert main([*argv, "calibrated"]) == 0
    low, high = shown_range("calibrated", estimator.config)
    for k in range(3):
        red = np.asarray(Image.open(f"in/{k}.png"))[..., 0].astype(np.float32)
        want = np.clip((red - low) / (high - low), 0, 1) * 255
        got = np.asarray(Image.open(f"out/{k}_gray.png")).astype(float)
        np.testing.assert_allclose(got, want, atol=1.01)
