"""Single pictures through Depth Anything 3: maps at the photo's size, and metres."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from test_views import _estimator, _metric, _photos

import jax_depth
from jax_depth.camera import Intrinsics
from jax_depth.cli import predict as command
from jax_depth.cli.main import main
from jax_depth.training import recipes, start

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.mark.slow
def test_an_any_view_model_gives_depth_and_confidence_of_one_picture():
    (photo,) = _photos(1)
    depth = _estimator()(photo)
    (same,) = _estimator().views([photo]).depths
    assert (depth.kind, depth.unit, depth.sky) == ("depth", None, None)
    assert np.allclose(depth.values, same.values, rtol=1e-5)
    assert np.allclose(depth.confidence, same.confidence, rtol=1e-5)


def test_a_list_means_independent_pictures():
    photos = [*_photos(3), *_photos(1, 50, 90, seed=1)]
    together = _estimator()(photos)
    assert [depth.shape for depth in together] == [p.shape[:2] for p in photos]
    for photo, depth in zip(photos, together, strict=True):
        assert np.allclose(depth.values, _estimator()(photo).values, rtol=1e-4)


def test_metres_need_a_focal_length(tmp_path):
    (photo,) = _photos(1)
    plain = _metric()(photo)
    assert (plain.kind, plain.unit) == ("depth", None)
    assert plain.confidence is None and plain.sky.shape == (60, 80)

    # 80 x 60 is seen at 56 x 42: a focal length of 100 pixels becomes 70.
    metres = _metric()(photo, camera=Intrinsics(100, 100, 39.5, 29.5))
    assert (metres.kind, metres.unit) == ("metric_depth", "m")
    assert np.allclose(metres.values, plain.values * 70 / 300, rtol=1e-5)
    camera = Intrinsics(100, 100, 39.5, 29.5)
    assert np.array_equal(plain.to_metric(camera=camera).values, metres.values)
    with pytest.raises(ValueError, match="depth-anything-3-metric-large"):
        _estimator()(photo).to_metric(camera=camera)
    with pytest.raises(ValueError, match="not both"):
        plain.to_metric([(1, 1, 2.0)], camera=camera)
    matrix = Intrinsics(100, 100, 39.5, 29.5).matrix
    assert np.array_equal(_metric()(photo, camera=matrix).values, metres.values)
    with pytest.raises(ValueError, match=r"\(2, 2\).*Intrinsics"):
        _metric()(photo, camera=np.eye(2))

    # Of a file by its EXIF data; of a file without any, no metres.
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 36}  # mm, equivalent to 35 mm film
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(photo).save(tmp_path / "b.png")
    diagonal = np.hypot(80, 60) * 36 / np.hypot(36, 24)
    found = _metric()(tmp_path / "a.png")
    assert found.unit == "m"
    expected = plain.values * diagonal * 0.7 / 300
    assert np.allclose(found.values, expected, rtol=1e-3)
    assert _metric()(tmp_path / "b.png").unit is None


def test_a_cropped_picture_has_no_depth_at_its_edges():
    config = dataclasses.replace(_estimator().config, resample="upper_bound_crop")
    estimator = jax_depth.Estimator(_estimator().params, config)
    depth = estimator(_photos(1, 90, 112)[0])  # 56 x 45, cut to 56 x 42
    seen = np.isfinite(depth.values).all(1)
    assert seen.sum() == 84 and not seen[0] and not seen[-1]


def test_predict_writes_maps_with_confidence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "load_estimator", lambda args: _estimator())
    monkeypatch.chdir(tmp_path)
    Image.fromarray(_photos(1)[0]).save("a.png")
    assert main(["predict", "a.png", "-o", "out", "--format", "npz,png16"]) == 0
    (file,) = (tmp_path / "out").glob("*.npz")
    depth = jax_depth.DepthMap.load(file)
    assert depth.kind == "depth" and depth.confidence is not None


def test_training_is_refused_in_a_sentence():
    model = dataclasses.replace(
        recipes.RECIPES["smoke"].model, architecture="depth-anything-3-mono-large"
    )
    recipe = dataclasses.replace(recipes.RECIPES["smoke"], model=model)
    with pytest.raises(ValueError, match=r"mono-large.*depth-anything-v2"):
        start.model_config(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [_estimator, _metric])
def test_an_exported_program_takes_single_pictures_of_any_size(estimator, as_installed):
    pytest.importorskip("flatbuffers")
    from jax_depth.checkpoint import flatten
    from jax_depth.export.stablehlo import export_program

    estimator = estimator()
    program = export_program(estimator.params, estimator.config)
    leaves = {k: np.asarray(x) for k, x in flatten(estimator.params).items()}
    pixels = np.random.default_rng(0).standard_normal((2, 28, 42, 3))
    pixels = pixels.astype(np.float32)
    found = np.asarray(program.call(leaves, pixels))
    expected = np.asarray(estimator.run(pixels).depth)
    assert np.allclose(found, expected, rtol=1e-3)
