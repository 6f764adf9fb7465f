"""safetensors files against the safetensors package, and files that are none."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from small_models import assert_same

from jax_depth.formats.safetensors import read_safetensors, write_safetensors


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 5))
    return {
        "f32": values.astype(np.float32),
        "f64": values,
        "f16": values.astype(np.float16),
        "bf16": values.astype(ml_dtypes.bfloat16),
        "i64": rng.integers(-9, 9, (2, 2, 2)),
        "u8": rng.integers(0, 255, 7).astype(np.uint8),
        "bool": rng.random(9) > 0.5,
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }


def test_reads_what_the_package_writes(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
    result = read_safetensors(path)
    assert_same(result, tensors)
    assert not result["f32"].flags.writeable
    assert type(result["f32"]) is np.ndarray


def test_reads_bfloat16_of_torch(tmp_path):
    tensor = torch.randn(4, 3).bfloat16()
    safetensors.torch.save_file({"x": tensor}, tmp_path / "x.safetensors")
    result = read_safetensors(tmp_path / "x.safetensors")["x"]
    assert result.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(result.astype(np.float32), tensor.float().numpy())


def test_writes_what_the_package_reads(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    tensors["transposed"] = tensors["f32"].T
    write_safetensors(path, tensors, metadata={"format": "pt"})
    assert_same(safetensors.numpy.load_file(path), tensors)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_tensors_are_mapped_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"x": np.zeros(4, np.float32)})
    x = read_safetensors(path)["x"]
    with open(path, "r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(7).tobytes())
    assert x[3] == 7


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_casts_and_refuses_overflow(tmp_path, dtype):
    x = np.array([1.0, np.inf, 3.1], np.float32)
    write_safetensors(tmp_path / "x", {"x": x}, dtype)
    result = read_safetensors(tmp_path / "x")["x"]
    np.testing.assert_array_equal(result, x.astype(dtype))
    with pytest.raises(ValueError, match="weight: a value does not fit " + dtype):
        write_safetensors(tmp_path / "x", {"weight": np.float32([3.4e38])}, dtype)


def _file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def _entry(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"{" * 100_000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "no header"),
        (b'{"x": {}, "x": {}}', "not valid JSON"),
        ({"x": 1}, "'x' has a malformed header entry"),
        ({"x": {"dtype": "F32"}}, "malformed"),
        (_entry(shape=[-2]), "malformed"),
        (_entry(shape=[True, 2]), "malformed"),
        (_entry(shape=[1] * 40 + [2]), "malformed"),
        (_entry(shape=[10**30, 10**30]), "cannot take 8 bytes"),
        (_entry(data_offsets=[0, 2**60]), "cannot take"),
        (_entry(data_offsets=[8, 16]), "leaves a gap"),
        (_entry(dtype="F6_E2M3"), "dtype 'F6_E2M3', which is not supported"),
        (_entry(dtype=[]), "not supported"),
        (_entry(shape=[0, 1 << 62, 1 << 62], data_offsets=[0, 0]), "malformed"),
        (_entry() | {"y": _entry()["x"]}, "overlaps"),
        ({}, "longer than its header says"),
    ],
)
def test_malformed_header_is_one_sentence(tmp_path, header, sentence):
    path = tmp_path / "bad.safetensors"
    _file(path, header, b"\0" * 8)
    with pytest.raises(ValueError, match=sentence) as error:
        read_safetensors(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [2, 9, 2**24 + 1, 2**63, 2**64 - 1])
def test_header_bomb_allocates_nothing(tmp_path, length):
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{")
    sizes = rf"bomb\.safetensors: .*header of {length} bytes, file of 9\)"
    with pytest.raises(ValueError, match=sizes):
        read_safetensors(path)


def test_every_truncation_is_one_sentence(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, tensors)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="again"):
            read_safetensors(path)


def test_flipped_bytes_give_arrays_or_a_sentence(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, tensors)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for position in rng.integers(0, len(content), 400):
        broken = bytearray(content)
        broken[position] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            assert all(
                isinstance(x, np.ndarray) for x in read_safetensors(path).values()
            )
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 100
