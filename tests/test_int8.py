"""int8: what quantising changed, replayed at any size; its folder; `quantize`."""

import importlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from small_models import REDUCED, RELATIVE, alive, random_params

import jax_depth
from jax_depth.cli.main import main
from jax_depth.inference.engines import int8 as files
from jax_depth.inference.engines.int8 import Int8, read_int8, write_int8
from jax_depth.inference.engines.openvino import OpenVinoEngine, import_openvino
from jax_depth.inference.estimator import Estimator
from jax_depth.models.depth_anything import apply_to_pictures
from jax_depth.study import int8 as study_int8
from jax_depth.study.int8 import Failures, compared, split

pytest.importorskip("openvino", reason="needs jax_depth[openvino]")
# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")
openvino = import_openvino()
to_openvino = importlib.import_module(
    "jax_depth.inference.engines.openvino_graph"
).to_openvino
ops = importlib.import_module("openvino.opset13")
openvino_int8 = importlib.import_module("jax_depth.inference.engines.openvino_int8")

EXAMPLES = Path(__file__).parents[1] / "examples"
RECORD = {
    "model": "small-relative",
    "calibrated": 3,
    "held_out": 2,
    "size": [28, 42],
    "agreement": {"spearman": 0.99, "d1": 0.98, "edges": 0.7},
    "versions": {},
}


def _graph():
    """Return relu(x) @ kernel + bias, and its constants."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((4, 3)), rng.standard_normal(3)
    kernel, bias = kernel.astype(np.float32), bias.astype(np.float32)
    x = ops.parameter([2, 4], np.float32, name="pixels")
    product = ops.matmul(ops.relu(x), ops.constant(kernel), False, False)
    return (
        openvino.Model([ops.add(product, ops.constant(bias))], [x], "g"),
        kernel,
        bias,
    )


def _quantized_by_hand(kernel, bias):
    """Return the graph as NNCF leaves one, and the numbers it is made of."""
    smooth = np.array([[0.5, 2, 1, 4]], np.float32)
    scale = np.abs(kernel / smooth.T).max(0, keepdims=True) / 127
    whole = np.rint(kernel / smooth.T / scale).astype(np.int8)
    low, high = np.float32(0), np.float32(6.375)
    x = ops.parameter([2, 4], np.float32, name="pixels")
    relu = ops.relu(x)
    relu.set_friendly_name("Relu.0")
    smoothed = ops.multiply(relu, ops.constant(smooth))
    bounds = [ops.constant(value) for value in (low, high, low, high)]
    coarse = ops.fake_quantize(smoothed, *bounds, levels=256)
    weights = ops.multiply(ops.convert(ops.constant(whole), "f32"), ops.constant(scale))
    product = ops.matmul(coarse, weights, False, False)
    product.set_friendly_name("MatMul.0")
    total = ops.add(product, ops.constant(bias + 1))
    total.set_friendly_name("Add.0")
    return openvino.Model([total], [x], "q"), (smooth, scale, whole)


def _run(graph, x):
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(graph, "CPU", options)([x])[0]


def test_what_quantising_changed_is_made_again_in_another_graph():
    plain, kernel, bias = _graph()
    openvino_int8.number_operators(plain)
    quantized, (smooth, scale, whole) = _quantized_by_hand(kernel, bias)
    changes = openvino_int8.changes_of(plain, quantized)
    assert sorted(changes) == [
        "Add.0/1/0/constant",
        "MatMul.0/0/0/multiply",
        "MatMul.0/0/1/quantize-256",
        "MatMul.0/1/0/constant",
        "MatMul.0/1/1/multiply",
    ]
    assert changes["MatMul.0/1/0/constant"].dtype == np.int8
    other, _, _ = _graph()
    openvino_int8.apply_changes(other, changes)
    x = np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32)
    inner = np.clip(np.rint(np.maximum(x, 0) * smooth * 40), 0, 255) / 40
    expected = inner @ (whole * scale) + bias + 1
    np.testing.assert_allclose(_run(other, x), expected, atol=1e-5)
    np.testing.assert_array_equal(_run(other, x), _run(quantized, x))
    with pytest.raises(ValueError, match=r"no operator MatMul\.7 with an input 1"):
        openvino_int8.apply_changes(other, {"MatMul.7/1/0/constant": whole})


def test_operators_of_all_sizes_and_batches_have_the_same_names():
    # Of the first, twice: random values go through an engine that is not int8.
    params, names = random_params(RELATIVE), set()
    seen = openvino_int8.number_operators

    def noted(graph):
        operators = seen(graph)
        names.add(tuple(operators))
        return operators

    engine = OpenVinoEngine(params, RELATIVE, changes={})
    openvino_int8.number_operators = noted
    try:
        for shape in ((1, 28, 42), (1, 56, 56), (3, 42, 28)):
            engine.run(np.zeros((*shape, 3), np.float32))
    finally:
        openvino_int8.number_operators = seen
    assert len(names) == 1 and len(*names) > 100


def test_operators_behind_norms_are_those_of_all_sizes_where_copies_are_reduced():
    params, names, early = random_params(REDUCED), set(), set()
    for shape in ((1, 32, 48, 3), (1, 48, 64, 3)):
        graph = to_openvino(
            lambda params, x: apply_to_pictures(params, x, REDUCED), params, shape
        )
        found = list(openvino_int8.number_operators(graph))
        names.add(tuple(n for n in found if not n.startswith(openvino_int8.EARLY)))
        early.add(sum(n.startswith(openvino_int8.EARLY) for n in found))
    assert len(names) == 1 and len(*names) > 100
    assert len(early) == 2


def test_numbers_of_an_older_version_are_refused(tmp_path):
    write_int8(tmp_path, random_params(RELATIVE), RELATIVE, _coarse())
    record = json.loads((tmp_path / files.RECORD).read_text())
    del record["numbering"]
    (tmp_path / files.RECORD).write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"another version .* `jax-depth quantize`"):
        read_int8(tmp_path)


def _coarse():
    """Return an int8 form that rounds one product's input, and does it visibly."""
    bounds = np.array([-2, 2, -2, 2], np.float32)
    return Int8({"MatMul.1/0/0/quantize-16": bounds}, RECORD)


@pytest.mark.slow
def test_a_folder_says_what_it_is_and_is_computed_so(tmp_path, capsys):
    params = jax_depth.init(RELATIVE, jax.random.key(0))
    write_int8(tmp_path / "m", params, RELATIVE, _coarse())
    # Twice: an older one is replaced.
    write_int8(tmp_path / "m", params, RELATIVE, _coarse())
    low = jax_depth.load(tmp_path / "m", size=28)
    assert "δ1 0.9800, edges 0.70" in capsys.readouterr().err
    assert "int8, Spearman 0.9900 with float32 on 2 photos held back" in repr(low)
    exact = Estimator(params, RELATIVE, size=28, engine="openvino")
    photo = EXAMPLES / "coffee.jpg"
    one, other = exact(photo).values, low(photo).values
    error = np.abs(one - other).max() / one.std()
    assert low.engine == "openvino" and 1e-3 < error
    again = pickle.loads(pickle.dumps(low))
    np.testing.assert_array_equal(again(photo).values, other)
    found, count = compared(exact, low, [photo, tmp_path / "no.jpg"], f := Failures([]))
    assert count == 1 and 0 < found["spearman"] < 1 and "no.jpg" in f.sentences[0]
    # The model as it was is in there too.
    weights, config = jax_depth.load_params(tmp_path / "m")
    assert config == RELATIVE and Estimator(weights, config).int8 is None
    with pytest.raises(ValueError, match="leave dtype out"):
        jax_depth.load(tmp_path / "m", dtype="bfloat16")


@pytest.mark.parametrize("damage", ["[]", "{", '{"agreement": {}, "model": "a"}'])
def test_a_damaged_record_is_a_sentence(tmp_path, damage):
    (tmp_path / files.RECORD).write_text(damage)
    with pytest.raises(ValueError, match="int8 form is damaged"):
        read_int8(tmp_path)
    assert read_int8("tiny") is None and read_int8(tmp_path / "none") is None


def test_photos_are_split_evenly():
    photos = [Path(f"{i:03}") for i in range(100)]
    calibrate, held = split(photos, 8, 32)
    assert (len(calibrate), len(held)) == (8, 20) and not {*calibrate} & {*held}
    assert held[0] < photos[10] and held[-1] > photos[90]
    assert [len(part) for part in split(photos[:2], 128, 32)] == [1, 1]
    with pytest.raises(ValueError, match="1 photo is too few"):
        split(photos[:1], 128, 32)


def test_without_nncf_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    words = ["quantize", "tiny", "--data", str(EXAMPLES), "-o", str(tmp_path / "m")]
    assert main(words) == 2
    assert "pip install 'jax_depth[quantize]'" in capsys.readouterr().err


def test_a_folder_of_something_else_is_refused_at_once(tmp_path, capsys, monkeypatch):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("mine")
    monkeypatch.setattr(study_int8, "quantized", lambda *_: pytest.fail("it computed"))
    words = ["quantize", "tiny", "--data", str(EXAMPLES), "-o", str(tmp_path / "m")]
    assert main(words) == 2
    assert "notes.txt" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    # Of the second, pictures are reduced at the first size and not at the other.
    # Random weights, ranges from three photos: half a deviation, where trained ones
    # leave a hundredth. Another model's map would be a whole one off.
    ("config", "sizes", "bound"),
    [(RELATIVE, (28,), 0.6), (REDUCED, (48, 32), 0.2)],
    ids=["vit", "hybrid"],
)
def test_quantised_by_nncf_from_photos(tmp_path, config, sizes, bound):
    pytest.importorskip("nncf", reason="needs jax_depth[quantize]")
    params = jax_depth.init(config, jax.random.key(0))
    if config is REDUCED:  # such weights leave less
        params = alive(config)
    jax_depth.save_params(tmp_path / "model", params, config)
    photos = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "coffee", "pagoda")]
    words = ["quantize", "model", "--size", str(sizes[0]), "-o", "out", "--json"]
    words.append("--data")
    # In a process of its own, where NNCF's imports and its logging may do as they like.
    done = subprocess.run(
        [sys.executable, "-m", "jax_depth", *words, *photos, "missing.jpg"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["calibrated"], document["held_out"]) in ((2, 1), (3, 1))
    assert len(document["failed"]) == 1 and "missing.jpg" in done.stderr
    low = read_int8(tmp_path / "out")
    assert low is not None
    kernels = [a for a in low.changes.values() if a.dtype == np.int8]
    # Four in each block, and the head's; not the patch embedding or the stem.
    assert len(kernels) > 30
    for size in sizes:
        exact = Estimator(params, config, size=size, engine="openvino")
        other = jax_depth.load(tmp_path / "out", size=size)
        for photo in photos:  # two of another size than the one that was calibrated
            one, two = exact(photo).values, other(photo).values
            assert 0 < np.abs(one - two).mean() / one.std() < bound
