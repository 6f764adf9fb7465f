"""The OpenVINO engine against XLA and against transformers, on the same weights."""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import oracle
import pytest
import small_models
from PIL import Image

from jax_depth import load, preprocess
from jax_depth.cli.main import main
from jax_depth.inference.engines.openvino import import_openvino
from jax_depth.inference.estimator import Estimator
from jax_depth.models.depth_anything import forward
from jax_depth.weights import load_params
from jax_depth_convert import from_torch

if importlib.util.find_spec("openvino") is None:
    pytest.skip("needs jax_depth[openvino]", allow_module_level=True)
openvino = import_openvino()
RNG = np.random.default_rng(0)
COFFEE = Path(__file__).parents[1] / "examples" / "coffee.jpg"


def _pixels(*shape):
    return RNG.standard_normal((*shape, 3)).astype(np.float32)


def _living(config, seed=0):
    """Return random parameters under which every branch and the output live."""
    model = oracle.depth_anything(config, seed)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    return model, from_torch(state, config)


def _close(actual, expected, tolerance=1e-4):
    assert expected.std() > 0
    assert np.abs(actual - expected).max() / expected.std() < tolerance


CONFIGS = {
    "relative": small_models.RELATIVE,
    "blocked": dataclasses.replace(
        small_models.RELATIVE,
        encoder=dataclasses.replace(
            small_models.GELU, heads=2, attention="blocked", scan=True
        ),
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 56, 70),
        pytest.param((3, 42, 28), marks=pytest.mark.slow),
        pytest.param((1, 56, 56), marks=pytest.mark.slow),
    ],
)
def test_equals_xla(name, shape):
    config, pixels = CONFIGS[name], _pixels(*shape)
    _, params = _living(config)
    expected = np.asarray(forward(params, pixels, config))
    estimator = Estimator(params, config, engine="openvino")
    _close(np.asarray(estimator.run(pixels).depth), expected)
    _close(
        np.asarray(estimator.run(pixels + 1).depth),
        np.asarray(forward(params, pixels + 1, config)),
    )
    assert estimator.compilations == 1


def test_metric_model_with_gated_mlp_equals_xla():
    config = small_models.METRIC_SWIGLU
    params = jax.tree.map(lambda x: x * 0.1, small_models.random_params(config))
    pixels = _pixels(2, 28, 56)
    expected = np.asarray(forward(params, pixels, config))
    estimator = Estimator(params, config, engine="openvino")
    _close(np.asarray(estimator.run(pixels).depth), expected)


def test_equals_transformers():
    import torch

    model, params = _living(small_models.RELATIVE)
    pixels = _pixels(2, 56, 70)
    with torch.no_grad():
        nchw = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
        expected = model(nchw).predicted_depth.numpy()
    estimator = Estimator(params, small_models.RELATIVE, engine="openvino")
    _close(np.asarray(estimator.run(pixels).depth), expected)


@pytest.mark.long
def test_the_bundled_model_and_pictures_of_mixed_sizes():
    pictures = [
        RNG.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((90, 120), (100, 80))
    ]
    xla, other = load("tiny", size=64), load("tiny", size=64, engine="openvino")
    for a, b in zip(xla(pictures), other(pictures), strict=True):
        assert (a.kind, a.unit, a.values.shape) == (b.kind, b.unit, b.values.shape)
        _close(b.values, a.values)
    assert other.compilations == 2


def test_openvino_is_imported_without_its_telemetry():
    program = (
        "import os, sys, numpy\n"
        "forks = []\n"
        "os.register_at_fork(before=lambda: forks.append(1))\n"
        "import jax_depth\n"
        "model = jax_depth.load('tiny', size=64, engine='openvino')\n"
        "model(numpy.zeros((64, 64, 3), numpy.uint8))\n"
        "assert 'openvino_telemetry' not in sys.modules and not forks, forks\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.long
def test_bfloat16_stays_near_float32():
    params, config = load_params("tiny")
    # A photo: of noise trained weights make a nearly flat map.
    pixels = preprocess(COFFEE, config, size=64)
    expected = np.asarray(forward(params, pixels, config))
    half = dataclasses.replace(config, dtype="bfloat16")
    actual = np.asarray(Estimator(params, half, engine="openvino").run(pixels).depth)
    # OpenVINO rounds what flows between operators too, see the engine's docstring.
    _close(actual, expected, 0.1)
    assert np.abs(actual - expected).max() / expected.std() > 1e-4


def test_mistakes_get_a_sentence(monkeypatch, as_installed):
    params, config = load_params("tiny")
    with pytest.raises(ValueError, match="'tensorrt' is unknown; use one of 'xla'"):
        Estimator(params, config, engine="tensorrt")
    with pytest.raises(ValueError, match="takes no devices"):
        Estimator(params, config, engine="openvino", devices=jax.local_devices())
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r"pip install 'jax_depth\[openvino\]'"):
        Estimator(params, config, engine="openvino")


def test_programs_of_xla_do_not_go_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jax_depth.inference.estimator.keep_freed_memory", bool)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("a.png")
    words = ["predict", "a.png", "--engine", "openvino", "--executables", "."]
    assert main(words) == 2
    message = capsys.readouterr().err
    assert "'openvino'" in message and "use engine 'xla'" in message
    assert main(["predict", "a.png", "--engine", "openvino", "--format", "npy"]) == 0
    expected = load("tiny")("a.png").values
    written = np.load("depth_out/a_depth.npy")
    np.testing.assert_allclose(written, expected, atol=1e-4 * expected.std())
