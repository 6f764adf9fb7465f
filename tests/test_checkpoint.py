"""The native model directory: strict, atomic, in three storage dtypes."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import ALL, ENCODER, RELATIVE, assert_same, random_params

from jax_depth import checkpoint
from jax_depth.config import HybridConfig, ModelConfig
from jax_depth.formats.safetensors import (
    read_metadata,
    read_safetensors,
    write_safetensors,
)
from jax_depth.weights import load_params

HYBRID = ModelConfig(
    "small-hybrid",
    HybridConfig(width=64, depth=2, heads=1, taps=(0, 1), mlp_hidden=128),
    dataclasses.replace(RELATIVE.head, resize=("keep", "keep", "keep", "down2")),
)


@pytest.mark.parametrize("config", [*ALL, HYBRID], ids=lambda c: c.name)
def test_round_trip(tmp_path, config):
    params = random_params(config)
    checkpoint.save(tmp_path / "model", params, config)
    result, loaded = checkpoint.load(tmp_path / "model")
    assert loaded == config
    assert_same(checkpoint.flatten(result), checkpoint.flatten(params))
    assert checkpoint.is_native(tmp_path / "model")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_storage_dtype(tmp_path, dtype):
    params = random_params(ENCODER)
    checkpoint.save(tmp_path / "model", params, ENCODER, dtype)
    result, _ = checkpoint.load(tmp_path / "model")
    expected = jax.tree.map(lambda x: x.astype(jnp.dtype(dtype)), params)
    assert_same(checkpoint.flatten(result), checkpoint.flatten(expected))


def test_stored_dtype_is_kept_on_request(tmp_path):
    params = random_params(ENCODER, dtype="float16")
    checkpoint.save(tmp_path / "model", params, ENCODER, None)
    result, _ = checkpoint.load(tmp_path / "model")
    assert_same(checkpoint.flatten(result), checkpoint.flatten(params))


def test_jax_arrays_are_saved(tmp_path):
    params = jax.tree.map(jnp.asarray, random_params(RELATIVE))
    checkpoint.save(tmp_path / "model", params, RELATIVE)
    loaded, _ = checkpoint.load(tmp_path / "model")
    assert_same(checkpoint.flatten(loaded), checkpoint.flatten(params))


def test_all_problems_in_one_message(tmp_path):
    params = random_params(ENCODER)
    del params["encoder"]["block_1"]["norm1"]["scale"]
    params["encoder"]["extra"] = np.zeros(3)
    params["encoder"]["norm"]["bias"] = np.zeros(5, np.float32)
    with pytest.raises(ValueError, match="do not fit model 'small-encoder'") as error:
        checkpoint.save(tmp_path / "model", params, ENCODER)
    for problem in (
        "missing encoder/block_1/norm1/scale",
        "unexpected encoder/extra",
        "encoder/norm/bias has shape (5,), not (64,)",
    ):
        assert problem in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_loading_is_strict(tmp_path):
    checkpoint.save(tmp_path / "model", random_params(ENCODER), ENCODER)
    deeper = dataclasses.replace(
        ENCODER, encoder=dataclasses.replace(ENCODER.encoder, depth=5)
    )
    text = checkpoint.to_json(deeper)
    (tmp_path / "model" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="missing encoder/block_4/attn/proj/bias"):
        checkpoint.load(tmp_path / "model")


@pytest.mark.parametrize("text", ["", "[]", '{"encoder": {}}', '{"encoder": 3}'])
def test_broken_config_names_the_file(tmp_path, text):
    checkpoint.save(tmp_path / "model", random_params(ENCODER), ENCODER)
    (tmp_path / "model" / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json: "):
        checkpoint.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(tmp_path, name):
    checkpoint.save(tmp_path / "model", random_params(ENCODER), ENCODER)
    (tmp_path / "model" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        checkpoint.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, r"config\.json: missing; a native model directory"),
        ("{", r"config\.json: the model description is not JSON"),
        ("{}", r'config\.json: .* needs an "encoder"'),
    ],
)
def test_a_folder_without_its_config_is_still_ours(tmp_path, text, sentence):
    checkpoint.save(tmp_path / "model", random_params(ENCODER), ENCODER)
    config = tmp_path / "model" / "config.json"
    if text is None:
        config.unlink()
    else:
        config.write_text(text)
    with pytest.raises((ValueError, OSError), match=sentence):
        load_params(tmp_path / "model")


def test_many_problems_are_counted():
    leaves = {f"x{number}": np.zeros(1) for number in range(9)}
    total = 9 + len(checkpoint.leaf_shapes(ENCODER))
    with pytest.raises(ValueError, match=f"; and {total - 5} more$"):
        checkpoint.check(leaves, ENCODER, "here")


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" / "model"
    with pytest.raises(OSError, match=f"^{re.escape(str(place))}: cannot be made"):
        checkpoint.save(place, random_params(ENCODER), ENCODER)


def test_replaces_an_older_model_only(tmp_path):
    directory = tmp_path / "model"
    checkpoint.save(directory, random_params(ENCODER), ENCODER)
    newer = random_params(RELATIVE, seed=1)
    checkpoint.save(directory, newer, RELATIVE)
    result, config = checkpoint.load(directory)
    assert config == RELATIVE
    assert_same(checkpoint.flatten(result), checkpoint.flatten(newer))

    (directory / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        checkpoint.save(directory, newer, RELATIVE)
    assert (directory / "notes.txt").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_file_in_the_way_is_kept(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        checkpoint.save(tmp_path / "model", random_params(ENCODER), ENCODER)
    assert (tmp_path / "model").read_text() == "mine"


def test_failure_leaves_the_older_model(tmp_path):
    directory = tmp_path / "model"
    params = random_params(ENCODER)
    checkpoint.save(directory, params, ENCODER)
    broken = jax.tree.map(lambda x: x * np.float32(1e6), params)
    with pytest.raises(ValueError, match="does not fit float16"):
        checkpoint.save(directory, broken, ENCODER, "float16")
    result, _ = checkpoint.load(directory)
    assert_same(checkpoint.flatten(result), checkpoint.flatten(params))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_unknown_storage_dtype(tmp_path):
    params = random_params(ENCODER)
    with pytest.raises(ValueError, match="'int8' is not one of float32"):
        checkpoint.save(tmp_path / "model", params, ENCODER, "int8")
    with pytest.raises(ValueError, match="give the dtype to store"):
        double = random_params(ENCODER, dtype="float64")
        checkpoint.save(tmp_path / "model", double, ENCODER, None)


def _never(config):
    raise AssertionError("the network was traced")


def test_what_save_checked_loads_without_tracing(tmp_path, monkeypatch):
    params = random_params(RELATIVE)
    checkpoint.save(tmp_path / "model", params, RELATIVE)
    monkeypatch.setattr(checkpoint, "leaf_shapes", _never)
    loaded, _ = checkpoint.load(tmp_path / "model")
    assert_same(checkpoint.flatten(loaded), checkpoint.flatten(params))


def test_the_bundled_model_loads_without_tracing(monkeypatch):
    monkeypatch.setattr(checkpoint, "leaf_shapes", _never)
    params, config = load_params("tiny")
    monkeypatch.undo()
    checkpoint.check(checkpoint.flatten(params), config, "tiny")


def test_a_file_of_another_hand_is_checked_whatever_its_header_says(tmp_path):
    checkpoint.save(tmp_path / "model", random_params(RELATIVE), RELATIVE)
    weights = tmp_path / "model" / checkpoint.WEIGHTS
    metadata = read_metadata(weights)
    assert set(metadata) == {"format", "checked"}
    leaves = dict(read_safetensors(weights))
    del leaves["encoder/norm/bias"]
    write_safetensors(tmp_path / "new", leaves, None, metadata)
    (tmp_path / "new").replace(weights)
    with pytest.raises(ValueError, match="missing encoder/norm/bias"):
        checkpoint.load(tmp_path / "model")
