"""`convert`, `load` and the command line: from any layout on disk to any other."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_models import ENCODER, RELATIVE, assert_same, random_params

from jax_depth import checkpoint
from jax_depth.catalog import MODELS
from jax_depth.checkpoint import flatten, leaf_shapes, unflatten
from jax_depth.cli.main import main
from jax_depth_convert import convert, load, read, to_torch, write_transformers_folder
from jax_depth_convert.pth_writer import write_pth
from jax_depth_convert.rules import Leaf
from jax_depth_convert.state_dicts import invert_params

SMALL = MODELS["depth-anything-v2-small"].config
ROOT = Path(__file__).parent.parent


def zeros(config):
    """Return parameters that take no memory."""
    return unflatten(
        {
            path: np.broadcast_to(np.float32(0), leaf.shape)
            for path, leaf in leaf_shapes(config).items()
        }
    )


@pytest.fixture(scope="module")
def ambiguous(tmp_path_factory):
    """A file of the small size: V1, V2 and metric models share its keys."""
    path = tmp_path_factory.mktemp("published") / "small.pth"
    write_pth(path, invert_params(zeros(SMALL), SMALL, "original"))
    return path


def test_chain_through_every_layout(tmp_path):
    params = random_params(RELATIVE)
    state = to_torch(params, RELATIVE)
    save_file(state, tmp_path / "a.safetensors")

    convert(tmp_path / "a.safetensors", RELATIVE, tmp_path / "native")
    convert(tmp_path / "native", None, tmp_path / "hf", "transformers")
    convert(tmp_path / "hf", RELATIVE, tmp_path / "native2")
    convert(tmp_path / "native2", None, tmp_path / "b.pth", "original")
    convert(tmp_path / "b.pth", RELATIVE, tmp_path / "c.safetensors", "original")

    assert_same(read(tmp_path / "b.pth"), state)
    assert_same(read(tmp_path / "c.safetensors"), state)
    assert_same(read(tmp_path / "hf"), to_torch(params, RELATIVE, "transformers"))
    result, config = checkpoint.load(tmp_path / "native2")
    assert config == RELATIVE
    assert_same(flatten(result), flatten(params))


def test_dtype(tmp_path):
    params = random_params(ENCODER)
    checkpoint.save(tmp_path / "native", params, ENCODER)
    convert(tmp_path / "native", None, tmp_path / "x.pth", "original", "float16")
    assert {x.dtype.name for x in read(tmp_path / "x.pth").values()} == {"float16"}
    convert(tmp_path / "x.pth", ENCODER, tmp_path / "native")
    kept, _ = checkpoint.load(tmp_path / "native")
    assert {x.dtype.name for x in flatten(kept).values()} == {"float16"}


def test_ambiguous_file_asks_for_the_name(tmp_path, ambiguous, capsys):
    assert main(["convert", str(ambiguous), "--to", str(tmp_path / "out")]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    names = [name for name, e in MODELS.items() if e.parameters == 24_785_089]
    assert len(names) >= 4
    for name in (*names, str(ambiguous), "--model"):
        assert name in sentence
    assert "base" not in sentence
    assert not (tmp_path / "out").exists()


def test_command_line(tmp_path, ambiguous, capsys):
    out = str(tmp_path / "out")
    name = "depth-anything-v2-metric-outdoor-small"
    assert main(["convert", str(ambiguous), "--to", out, "--model", name]) == 0
    assert capsys.readouterr().out == f"{out}: {name}, native layout, 99.2 MB\n"
    _, config = load(out)
    assert config == MODELS[name].config

    # Fine-tuned: under a name and with a largest depth of its own.
    words = ["convert", str(ambiguous), "--max-depth", "10", "--name", "mine"]
    words += ["--to-hub-folder", str(tmp_path / "hub"), "--dtype", "float16"]
    assert main(words) == 2
    assert "--model" in capsys.readouterr().err
    assert main([*words, "--model", "depth-anything-v2-small"]) == 2
    assert "leave it out" in capsys.readouterr().err
    assert main([*words, "--model", name]) == 0
    assert "mine, native" in capsys.readouterr().out
    own = dataclasses.replace(MODELS[name].config, max_depth=10.0, name="mine")
    assert load(tmp_path / "hub")[1] == own
    assert "ine-tuned from" in (tmp_path / "hub" / "README.md").read_text()

    named = str(tmp_path / "named")
    assert main(["convert", "tiny", "--to", named]) == 0
    assert capsys.readouterr().out == f"{named}: tiny, native layout, 15.4 MB\n"
    assert load(named)[1] == MODELS["tiny"].config

    back = str(tmp_path / "back.pth")
    assert main(["convert", out, "--to", back, "--dtype", "float16"]) == 0
    line = capsys.readouterr().out
    assert line == f"{back}: {name}, original layout, 49.6 MB\n"

    folder = str(tmp_path / "hf")
    assert main(["convert", out, "--to", folder, "--layout", "transformers"]) == 0
    assert load(folder)[1] == MODELS[name].config
    # The weight file inside says no more than its neighbour config.json.
    assert load(f"{folder}/model.safetensors")[1] == MODELS[name].config


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            "depth-anything-v2-large",
            "not model 'depth-anything-v2-large'; ",
        ),
        ("dinov2-small", "not model 'dinov2-small'"),
        ("tiny", "not model 'tiny'"),
        ("nonsense", "'nonsense'; see `jax-depth models`"),
        ("depth-anything-v2-smal", "did you mean depth-anything-v2-small or"),
    ],
)
def test_a_name_that_does_not_fit(ambiguous, model, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        load(ambiguous, model)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_name_may_be_an_alias(ambiguous):
    assert load(ambiguous, "vits")[1] == SMALL


def test_only_model_of_its_size_needs_no_name(tmp_path):
    config = MODELS["dinov2-small"].config
    state = invert_params(zeros(config), config, "original")
    write_pth(tmp_path / "dinov2_vits14_pretrain.pth", state)
    assert load(tmp_path / "dinov2_vits14_pretrain.pth")[1] == config


def test_unknown_size_asks_for_a_config(tmp_path):
    write_pth(tmp_path / "x.pth", to_torch(random_params(RELATIVE), RELATIVE))
    with pytest.raises(ValueError, match="give its ModelConfig"):
        load(tmp_path / "x.pth")


def test_config_json_beside_the_weights_is_believed(tmp_path):
    metric = MODELS["depth-anything-v2-metric-indoor-small"].config
    write_transformers_folder(zeros(metric), metric, tmp_path / "x")
    assert load(tmp_path / "x")[1] == metric
    with pytest.raises(ValueError, match=r"config\.json .*not model 'depth-.*--model"):
        load(tmp_path / "x", SMALL)
    offset = dataclasses.replace(metric.encoder, position_offset=0.0)
    other = dataclasses.replace(metric, encoder=offset)
    assert load(tmp_path / "x", other)[1] == other


def test_one_network_of_two_names_is_called_as_its_folder(tmp_path):
    write_transformers_folder(zeros(SMALL), SMALL, tmp_path / "mine")
    assert load(tmp_path / "mine")[1] == dataclasses.replace(SMALL, name="mine")
    distilled = "distill-any-depth-small"
    assert load(tmp_path / "mine", distilled)[1] == MODELS[distilled].config


def test_config_json_of_the_v1_hub_says_only_the_size(tmp_path, ambiguous):
    (tmp_path / "config.json").write_text('{"encoder": "vits", "features": 64}')
    (tmp_path / "pytorch_model.bin").symlink_to(ambiguous)
    with pytest.raises(ValueError, match="name the model"):
        load(tmp_path)
    v1 = MODELS["depth-anything-small"].config
    assert load(tmp_path, "depth-anything-small")[1] == v1


def test_native_directory_under_another_name(tmp_path):
    checkpoint.save(tmp_path / "x", random_params(ENCODER), ENCODER)
    with pytest.raises(ValueError, match="holds model 'small-encoder', not"):
        load(tmp_path / "x", "dinov2-small")
    assert load(tmp_path / "x", ENCODER)[1] == ENCODER


@pytest.mark.parametrize(
    ("name", "to", "sentence"),
    [
        ("x.txt", "original", r"end its name in \.safetensors or \.pth"),
        ("x.pth", "keras", "layout 'keras' is unknown"),
    ],
)
def test_destinations_that_make_no_sense(tmp_path, name, to, sentence):
    checkpoint.save(tmp_path / "native", random_params(ENCODER), ENCODER)
    with pytest.raises(ValueError, match=sentence):
        convert(tmp_path / "native", None, tmp_path / name, to)
    assert [entry.name for entry in tmp_path.iterdir()] == ["native"]


def test_broken_source_leaves_nothing_behind(tmp_path, capsys):
    (tmp_path / "x.pth").write_bytes(b"<html>")
    assert main(["convert", str(tmp_path / "x.pth"), "--to", str(tmp_path / "y")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["convert", str(tmp_path / "z"), "--to", str(tmp_path / "y")]) == 1
    assert "z: no such file" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pth"]


_MEASURE = """
import re, sys
from jax_depth.catalog import MODELS
from jax_depth.checkpoint import leaf_shapes
from jax_depth_convert import convert

def peak():
    # Not getrusage: its figure starts at the parent's, which is larger.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

source, name, destination, layout = sys.argv[1:]
leaf_shapes(MODELS[name].config)
before = peak()
convert(source, name, destination, layout)
print(1024 * (peak() - before))
"""


def memory_of_conversion(source, name, destination, layout) -> int:
    """Return how many bytes the peak of a fresh process grew by converting."""
    paths = [str(ROOT), str(ROOT / "convert")]
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(source), name, str(destination), layout],
        env={"PYTHONPATH": ":".join(paths), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


def random_file(path, config):
    """Write a random file in the published layout, one tensor at a time."""
    rng = np.random.default_rng(0)
    leaves = {
        key: Leaf(
            leaf.shape,
            np.float32,
            lambda shape=leaf.shape: rng.standard_normal(shape, np.float32),
        )
        for key, leaf in leaf_shapes(config).items()
    }
    write_pth(path, invert_params(unflatten(leaves), config, "original"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "size", ["small", pytest.param("large", marks=pytest.mark.long)]
)
def test_memory_is_less_than_one_and_a_half_files(tmp_path, size):
    name = f"depth-anything-v2-{size}"
    source = tmp_path / "x.pth"
    random_file(source, MODELS[name].config)
    file_size = source.stat().st_size
    used = memory_of_conversion(source, name, tmp_path / "native", "native")
    # Less than half a file would mean that it was not read in this process.
    assert 0.5 < used / file_size < 1.5
    back = tmp_path / "hf"
    used = memory_of_conversion(tmp_path / "native", name, back, "transformers")
    assert 0.5 < used / file_size < 1.5
    used = memory_of_conversion(back, name, tmp_path / "y.pth", "original")
    assert 0.5 < used / file_size < 1.5
    assert (tmp_path / "y.pth").stat().st_size == file_size


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    source, target = tmp_path / "a.safetensors", tmp_path / "file" / "b.pth"
    save_file(to_torch(random_params(RELATIVE), RELATIVE), source)
    with pytest.raises(OSError, match=r"file/b\.pth: cannot be written \("):
        convert(source, RELATIVE, target, "original")
