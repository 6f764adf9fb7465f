"""`read` on whatever a user may point it at."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_models import assert_same

from jax_depth_convert import read
from jax_depth_convert.pickle_values import shown


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    return {
        "blocks.0.norm1.weight": rng.standard_normal(3).astype(np.float32),
        "cls_token": rng.standard_normal((1, 1, 3)).astype(np.float32),
    }


def as_torch(state):
    return {key: torch.from_numpy(value) for key, value in state.items()}


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth", "x", "x.bin"])
def test_format_is_told_by_content(tmp_path, state, name):
    save_file(state, tmp_path / name)
    assert_same(read(tmp_path / name), state)
    assert_same(read(str(tmp_path / name)), state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "optimizer": {}},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {"model_state_dict": s},
    ],
)
def test_wrappers_are_removed(tmp_path, state, wrap):
    torch.save(wrap(as_torch(state)), tmp_path / "x.pth")
    assert_same(read(tmp_path / "x.pth"), state)


def test_a_prefix_of_some_keys_stays(tmp_path, state):
    state["module.cls_token"] = state["cls_token"]
    save_file(state, tmp_path / "x.safetensors")
    assert_same(read(tmp_path / "x.safetensors"), state)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; download it again"),
        (b"<!DOCTYPE html><html>not found</html>", "is a web page"),
        (b"\n\n <html></html>", "is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "Git LFS pointer",
        ),
        (b'{"error": "Repository not found"}', "is a JSON file"),
        (b"Repository not found", "not a PyTorch or safetensors file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "is an HDF5 file"),
        (b"\x1f\x8b\x08" + b"\0" * 64, "is a gzip archive"),
        (b"x" * 257 + b"ustar" + b"\0" * 250, "older than 0.4"),
        (b"PK\x03\x04", "truncated or damaged"),
        (b"\x80\x02", "truncated or damaged"),
        (bytes(range(256)), "not a PyTorch or safetensors file"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_foreign_file_is_one_sentence(tmp_path, content, sentence, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    if suffix == ".safetensors" and not sentence.startswith(("is ", "trunc")):
        sentence = sentence if "Git" in sentence else "not a complete safetensors"
    with pytest.raises(ValueError, match=sentence) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (torch.ones(3), "single tensor"),
        ([torch.ones(3)], "a list, not a state dict"),
        (3, "an int, not a state dict"),
        ({}, "no tensors"),
        ({"epoch": 3}, r"no tensors \(top level: 'epoch'\)"),
        ({"x": torch.ones(1), "epoch": 3}, "'epoch', an int; save"),
        ({3: torch.ones(1)}, "under 3, "),
        ({"model": {}, "state_dict": {}}, r"no tensors \(top level: 'model', 'state"),
    ],
)
def test_content_that_is_no_state_dict(tmp_path, content, sentence):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path / "x.pth")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.pth: no such file"):
        read(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_directory(tmp_path, state, name):
    if name.endswith("bin"):
        torch.save(as_torch(state), tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    assert_same(read(tmp_path), state)


def test_directory_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none of model\.safetensors"):
        read(tmp_path)


def shard(tmp_path, state):
    one, two = state
    save_file({one: state[one]}, tmp_path / "model-1-of-2.safetensors")
    save_file({two: state[two]}, tmp_path / "model-2-of-2.safetensors")
    files = {one: "model-1-of-2.safetensors", two: "model-2-of-2.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return index, files


def test_sharded(tmp_path, state):
    index, _ = shard(tmp_path, state)
    assert_same(read(index), state)
    assert_same(read(tmp_path), state)


def test_broken_shards(tmp_path, state):
    index, files = shard(tmp_path, state)
    (tmp_path / "model-2-of-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-2-of-2\.safetensors: missing"):
        read(index)

    save_file({"other": np.ones(1)}, tmp_path / "model-2-of-2.safetensors")
    with pytest.raises(ValueError, match=r"model-2-of-2\.safetensors: .* both again"):
        read(index)

    for text in ("", "[]", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'):
        index.write_text(text)
        with pytest.raises(ValueError, match="not the index of a sharded"):
            read(index)

    for name in ("../a", "/a", "..", ".", "", "a\nb", "\ud800", "a" * 300, "a\0b"):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(files, name)}))
        with pytest.raises(ValueError, match=re.escape(shown(name))):
            read(index)
    index.write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="no files"):
        read(index)


@pytest.mark.parametrize("length", [0x3C, 0x7B, 0x3C20, 0x7B20, 0x5080, 0x4B50])
def test_a_header_as_long_as_another_formats_first_bytes(tmp_path, length):
    entry = {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}
    text = json.dumps({"a": entry}, separators=(",", ":")).ljust(length)
    path = tmp_path / "x.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text.encode() + b"\x38\xb8")
    np.testing.assert_array_equal(read(path)["a"].astype(np.float32), [1, -1])


def test_a_file_without_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match=r"x\.safetensors: .*no tensors"):
        read(path)
    with pytest.raises(ValueError, match="the path is empty"):
        read("")
