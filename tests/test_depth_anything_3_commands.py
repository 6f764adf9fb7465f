"""Every command with Depth Anything 3: it works, or says in a sentence why not."""

import dataclasses
import json
import re
from pathlib import Path

import depth_anything_3_oracle as oracle
import numpy as np
import pytest
from PIL import Image
from test_depth_anything_3 import living_params

import jax_depth
from jax_depth.cli.main import main
from jax_depth.data.registry import open_dataset
from jax_depth.inference.engines import programs
from jax_depth.inference.engines.programs import ExecutableFolder
from jax_depth.inference.estimator import Estimator

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

_SERVED = {"image_size": 28, "resample": "upper_bound_resize", "restore": "half_pixel"}
CONFIGS = {
    "any-view": dataclasses.replace(oracle.ANY_VIEW, **_SERVED),
    "metric": dataclasses.replace(oracle.MONO, canonical_focal=300.0, **_SERVED),
}
PARAMS = {
    name: living_params(oracle.ANY_VIEW if name == "any-view" else oracle.MONO)
    for name in CONFIGS
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with both models and a photo, and programs kept beside."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in CONFIGS.items():
        jax_depth.save_params(folder / name, PARAMS[name], config)
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    (folder / "in").mkdir()
    Image.fromarray(noise).resize((40, 30)).save(folder / "in" / "a.png")
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(folder / "cache"))


def _predicted(model, out, *words):
    words = ["predict", "in", "-o", out, "--model", model, "--quiet", *words]
    assert main([*words, "--format", "npz"]) == 0
    return jax_depth.DepthMap.load(next(Path(out).glob("*.npz")))


@pytest.mark.parametrize("model", CONFIGS)
def test_a_program_from_a_file_says_as_much_as_a_fresh_one(model, monkeypatch):
    first = _predicted(model, f"first-{model}")
    monkeypatch.setattr(ExecutableFolder, "make", None)  # nothing is compiled again
    again = _predicted(model, f"again-{model}")
    assert np.array_equal(first.values, again.values)
    for layer in ("confidence", "sky"):
        one, other = getattr(first, layer), getattr(again, layer)
        has = layer == ("confidence" if model == "any-view" else "sky")
        assert (one is not None) == (other is not None) == has
        assert not has or np.array_equal(one, other)


def test_a_stored_program_of_strange_results_is_refused(tmp_path):
    path = tmp_path / "x.executable"
    for strange in (["colour"], "depth", ["confidence"], [["depth"]]):
        with pytest.raises(programs.ExecutableError, match="jax-depth export"):
            programs._out_tree(path, strange)


def test_metres_by_a_focal_length_stated_or_in_the_file(folder, capsys):
    plain = _predicted("metric", "plain")
    assert plain.kind == "depth" and "--focal" in capsys.readouterr().err
    # 40 pixels wide, seen at 28.
    metres = _predicted("metric", "metres", "--focal", "50")
    assert metres.kind == "metric_depth"
    # Sides of 40 x 30 are scaled to 28 x 14: by 0.7, and by 14 / 30.
    factor = 50 * (28 / 40 + 28 / 30) / 2 / 300
    assert np.allclose(metres.values, plain.values * factor, rtol=1e-4)

    exif = Image.Exif()
    exif[0x8769] = {0xA405: 36}
    with Image.open(folder / "in/a.png") as photo:
        photo.save(folder / "told.png", exif=exif)
    words = ["predict", "told.png", "-o", "told", "--model", "metric", "--quiet"]
    assert main([*words, "--format", "npz,png-mm"]) == 0
    (told,) = (folder / "told").glob("*.npz")
    assert jax_depth.DepthMap.load(told).unit == "m"
    assert list((folder / "told").glob("*.png"))
    words = ["scene", "in", "-o", "scene", "--model", "metric", "--format", "ply"]
    assert main([*words, "--focal", "50"]) == 0
    assert main(words) == 1
    assert "--focal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["calibrate", "in", "--model", "metric"], "focal length"),
        (["predict", "in", "--model", "metric", "--range", "calibrated"], "LOW:HIGH"),
        (["predict", "in", "--model", "any-view", "--focal", "9"], "metric-large"),
        (["predict", "in", "--model", "metric", "--focal", "0"], "above 0"),
        (["predict", "in", "--model", "any-view", "--format", "png-mm"], "png16"),
        (
            ["export", "metric", "-o", "x.onnx", "--preprocess"],
            "upper_bound_resize.*--preprocess",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert re.search(sentence, err) and "Traceback" not in err


def test_truth_and_labels_of_kind_depth(folder, capsys):
    (folder / "pairs/images").mkdir(parents=True)
    (folder / "pairs/depth").mkdir()
    with Image.open(folder / "in/a.png") as photo:
        photo.save(folder / "pairs/images/a.png")
    seen = _predicted("any-view", "truth").values
    # Truth that is the prediction, in other units: a perfect score.
    np.save(folder / "pairs/depth/a.npy", 3 * seen + 0.5)
    (folder / "pairs/pairs.json").write_text('{"kind": "metric_depth", "unit": "m"}')
    words = ["eval", "own", "--data", "pairs:pairs", "--json", "-o", "judged"]
    capsys.readouterr()
    assert main([*words, "--model", "any-view"]) == 0
    document = json.loads(capsys.readouterr().out)
    metrics = document["means"]
    assert metrics["abs_rel"] < 1e-4 and metrics["spearman"] > 0.999
    settings = json.loads((folder / "judged/summary.json").read_text())["settings"]
    assert settings["restore"] == "half_pixel"

    assert main(["label", "in", "-o", "labels", "--model", "any-view"]) == 0
    sample = open_dataset("labels:labels")[0]
    assert sample.kind == "depth"
    assert np.allclose(sample.target, seen, rtol=1e-2)


@pytest.mark.long
def test_models_are_compared(folder):
    words = ["compare", "in", "--models", "any-view", "metric", "-o", "compared"]
    assert main(words) == 0
    study = json.loads((folder / "compared/study.json").read_text())
    assert "exponential" in json.dumps(study)
    assert (folder / "compared/report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("model", CONFIGS)
def test_openvino_says_all_that_xla_says(model):
    pytest.importorskip("openvino")
    pixels = np.random.default_rng(0).standard_normal((1, 28, 42, 3))
    pixels = pixels.astype(np.float32)
    expected, found = (
        Estimator(PARAMS[model], CONFIGS[model], engine=engine).run(pixels)
        for engine in ("xla", "openvino")
    )
    for name in ("depth", "confidence", "sky"):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one is None) == (other is None)
        if one is not None:
            deviation = np.asarray(one).std()
            assert np.abs(np.asarray(one) - other).max() < 1e-4 * deviation


@pytest.mark.long
def test_onnx_has_an_output_for_each_map(folder):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("jax2onnx")
    assert main(["export", "metric", "-o", "m.onnx", "--photo-size", "40x30"]) == 0
    session = onnxruntime.InferenceSession(folder / "m.onnx")
    assert [output.name for output in session.get_outputs()] == ["depth", "sky"]
    pixels = np.random.default_rng(0).standard_normal((2, 28, 28, 3))
    pixels = pixels.astype(np.float32)
    found = session.run(["depth", "sky"], {"pixels": pixels})
    output = jax_depth.apply(PARAMS["metric"], pixels, CONFIGS["metric"])
    for one, other in zip((output.depth, output.sky), found, strict=True):
        assert np.abs(one - other).max() < 1e-4 * np.asarray(one).std()
    texts = session.get_modelmeta().custom_metadata_map
    assert "300" in texts["output"] and "sky" in texts["output"]
    assert "INTER_AREA" in texts["preprocessing"]
