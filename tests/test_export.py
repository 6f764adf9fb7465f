"""Exported files, run by what they are for: jax alone, ONNX Runtime, OpenVINO."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy
from jax import export
from PIL import Image
from safetensors import safe_open
from small_models import METRIC_SWIGLU, REDUCED, RELATIVE, alive, random_params

import jax_depth
from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.export.stablehlo import export_program, write_stablehlo
from jax_depth.inference.engines.openvino import import_openvino
from jax_depth.models.depth_anything import forward

openvino = import_openvino()
pytestmark = pytest.mark.usefixtures("cheap_programs")
EXAMPLES = Path(__file__).parent.parent / "examples"
# An offset, as published models have, and the trained grid of 4 x 4 patches.
_ENCODER = dataclasses.replace(RELATIVE.encoder, position_offset=0.1)
CONFIG = dataclasses.replace(RELATIVE, encoder=_ENCODER, image_size=28)

# Runs an example, then tells which of these it imported.
_RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0])
print(sorted({"flax", "jax_depth", "jax"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def params():
    # Scaled so that activations stay of one order through the blocks.
    return jax.tree.map(lambda leaf: 0.3 * leaf, random_params(CONFIG))


@pytest.fixture(scope="module")
def folder(params, tmp_path_factory):
    """Return a folder with the model, natively, and with what is exported of it."""
    folder = tmp_path_factory.mktemp("export")
    checkpoint.save(folder / "model", params, CONFIG)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _symbolic_shapes():
    """The checks of the tests know no symbolic sizes."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def expected(params, pixels, config=CONFIG):
    return np.asarray(jax.jit(forward, static_argnums=2)(params, pixels, config))


def pixels_of(*shape):
    return np.random.default_rng(0).standard_normal((*shape, 3), np.float32)


def assert_close(found, depth, bound):
    """Assert that maps agree to `bound` standard deviations."""
    assert found.shape == depth.shape and found.dtype == np.float32
    assert depth.std() > 0
    assert np.abs(found - depth).max() <= bound * depth.std()


def example(name, *arguments):
    command = [sys.executable, "-c", _RUN, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def program(folder):
    file = folder / "model.stablehlo"
    assert main(["export", str(folder / "model"), "-o", str(file)]) == 0
    return file


def read(file):
    """Return the program, the weights and the texts of a file."""
    with safe_open(file, "numpy") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}
        program = export.deserialize(bytearray(tensors.pop("program")))
        return program, tensors, opened.metadata()


# Off the trained grid the program computes weights of the position embedding in
# float32, where NumPy rounds as torch's fused multiply-add does. A difference of 1e-6
# grows to 2.4e-5 deviations in this network; of its greatest value it is below 1e-5.
@pytest.mark.parametrize(
    ("shape", "bound"),
    [
        ((1, 56, 56), 1e-5),
        ((3, 28, 70), 5e-5),
        pytest.param((2, 112, 42), 5e-5, marks=pytest.mark.slow),
        pytest.param((1, 14, 14), 5e-5, marks=pytest.mark.slow),
    ],
)
def test_one_program_serves_every_size(program, params, shape, bound):
    exported, weights, _ = read(program)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    pixels = pixels_of(*shape)
    found = np.asarray(exported.call(weights, pixels))
    depth = expected(params, pixels)
    assert_close(found, depth, bound)
    assert np.abs(found - depth).max() <= 1e-5 * depth.max()


def test_one_program_sees_reduced_copies_at_every_size():
    params = alive(REDUCED)
    exported = export_program(params, REDUCED)
    for shape in ((2, 32, 80), (1, 96, 64), (2, 48, 112)):
        pixels = pixels_of(*shape)
        found = np.asarray(exported.call(checkpoint.flatten(params), pixels))
        # The weights that reduce a picture are float32 as well.
        assert_close(found, expected(params, pixels, REDUCED), 5e-5)


def test_metres_and_gates(tmp_path):
    params = jax.tree.map(lambda leaf: 0.1 * leaf, random_params(METRIC_SWIGLU))
    file = tmp_path / "metric.stablehlo"
    write_stablehlo(params, METRIC_SWIGLU, file)
    exported, weights, texts = read(file)
    assert json.loads(texts["model"])["max_depth"] == 20
    pixels = pixels_of(1, 28, 42)
    depth = expected(params, pixels, METRIC_SWIGLU)
    assert 0 < depth.min() and depth.max() < 20
    # Depth varies little, by .03 m round 10 m, where float32 has steps of 1e-6 m.
    assert_close(np.asarray(exported.call(weights, pixels)), depth, 1e-4)


def test_sizes_that_do_not_fit_are_refused_by_the_program(program):
    exported, weights, _ = read(program)
    with pytest.raises(ValueError, match="remainder"):
        exported.call(weights, pixels_of(1, 28, 30))


def test_without_weights_those_of_the_native_folder_serve(folder, params, capsys):
    file = folder / "bare.stablehlo"
    argv = ["export", "--model", str(folder / "model"), "-o", str(file)]
    assert main([*argv, "--without-weights", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert written == {str(file): file.stat().st_size}
    assert file.stat().st_size < 300_000
    exported, tensors, texts = read(file)
    assert not tensors
    assert "which are not in this file" in texts["call"]
    weights = safetensors.numpy.load_file(folder / "model" / "model.safetensors")
    pixels = pixels_of(1, 28, 28)
    found = np.asarray(exported.call(weights, pixels))
    assert_close(found, expected(params, pixels), 5e-5)


def test_the_file_says_how_it_is_fed(program):
    _, _, texts = read(program)
    model = json.loads(texts["model"])
    assert (model["size"], model["multiple"]) == (28, 14)
    assert model["mean"] == list(CONFIG.mean) and model["kind"] == "inverse_depth"
    assert "cv2.INTER_CUBIC" in texts["preprocessing"]
    assert texts["output"].startswith("float32 (batch, height, width), inverse depth")


@pytest.mark.slow
def test_bundled_model_in_few_lines_without_flax(tmp_path):
    file, out = tmp_path / "tiny.stablehlo", tmp_path / "depth.npy"
    assert main(["export", "tiny", "-o", str(file)]) == 0
    imported = example("run_stablehlo.py", file, EXAMPLES / "coffee.jpg", out)
    assert imported == "['jax']"
    depth = np.load(out)
    with Image.open(EXAMPLES / "coffee.jpg") as photo:
        assert depth.shape == photo.size[::-1] and depth.dtype == np.float32
    estimator = jax_depth.load("tiny", devices=jax.devices()[:1])
    assert_close(depth, estimator(EXAMPLES / "coffee.jpg").values, 1e-4)


@pytest.fixture(scope="module")
def network(folder):
    """Return the small model as ONNX for pixels of 28 x 42."""
    file = folder / "model.onnx"
    argv = ["export", str(folder / "model"), "-o", str(file)]
    assert main([*argv, "--photo-size", "60x40"]) == 0
    return file


@pytest.mark.slow
def test_onnx_leaves_jax_as_it_was(network):
    assert jnp.cumsum(jnp.ones((2, 3)), 1).tolist() == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_in_two_runtimes(network, params, batch):
    onnx.checker.check_model(network)
    pixels = pixels_of(batch, 28, 42)
    depth = expected(params, pixels)
    session = onnxruntime.InferenceSession(network)
    (found,) = session.run(["depth"], {"pixels": pixels})
    assert_close(found, depth, 1e-4)
    # On CPUs with bfloat16 OpenVINO computes in it unless told otherwise.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(network, "CPU", options)
    assert_close(compiled([pixels])[0], depth, 1e-4)


def test_onnx_says_how_it_is_fed(network):
    session = onnxruntime.InferenceSession(network)
    texts = session.get_modelmeta().custom_metadata_map
    assert json.loads(texts["model"])["std"] == list(CONFIG.std)
    assert "divide by 255" in texts["preprocessing"]
    assert session.get_inputs()[0].shape == ["batch", 28, 42, 3]


@pytest.mark.parametrize(
    "resample", ["original", pytest.param("transformers", marks=pytest.mark.slow)]
)
def test_onnx_from_photo_to_depth(folder, params, resample, tmp_path):
    file, out = tmp_path / "photo.onnx", tmp_path / "depth.npy"
    argv = ["export", str(folder / "model"), "-o", str(file), "--preprocess"]
    assert main([*argv, "--photo-size", "60x40", "--resample", resample]) == 0
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    assert example("run_onnx.py", file, tmp_path / "photo.png", out) == "[]"
    depth = jax_depth.Estimator(
        params, CONFIG, resample=resample, devices=jax.devices()[:1]
    )(photo)
    assert_close(np.load(out), depth.values, 1e-4)
    # A photo of another size is brought to the file's and its depth back.
    Image.fromarray(photo).resize((90, 80)).save(tmp_path / "large.png")
    example("run_onnx.py", file, tmp_path / "large.png", out)
    assert np.load(out).shape == (80, 90)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "x"], ".stablehlo or .onnx, or give --executable"),
        (["-o", "x.onnx", "--without-weights"], "an option of .stablehlo files"),
        (["-o", "x.stablehlo", "--preprocess"], "an option of .onnx files"),
        (["-o", "x", "--executable", "--preprocess"], "an option of .onnx files"),
        (["a", "b", "-o", "x.onnx"], "one model at a time"),
        (["-o", "x.stablehlo", "--photo-size", "9x9"], "take every size"),
        (["no-model", "-o", "x.onnx"], "'no-model'"),
        (
            ["-o", "x.onnx", "--photo-size", "9x9", "--photo-size", "8x9"],
            "give --photo-size once",
        ),
        (["-o", "x.onnx", "--dtype", "bfloat16"], "in float32, not bfloat16"),
        (["-o", "x.onnx", "--size", "5"], "--size: size 5 is too small"),
        (["-o", "x.stablehlo", "--size", "5"], "--size: size 5 is too small"),
    ],
)
def test_wrong_usage(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("package", "suffix", "words"),
    [
        ("flatbuffers", "stablehlo", "flatbuffers"),
        ("jax2onnx", "onnx", "'jax_depth[export]'"),
    ],
)
def test_a_missing_package_is_a_sentence(package, suffix, words, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", "tiny", "-o", f"x.{suffix}"]) == 2
    err = capsys.readouterr().err
    assert f"needs the package {package}: pip install {words}" in err
    assert len(err.splitlines()) == 1
