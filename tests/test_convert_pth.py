"""`.pth` files in both formats against torch.save, hostile and broken ones included."""

import argparse
import collections
import io
import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch
from small_models import assert_same

from jax_depth_convert import read
from jax_depth_convert.pth_writer import write_pth

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(content, path, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def as_numpy(tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        bits = tensor.contiguous().view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    return tensor.numpy()


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    x = torch.randn(4, 6)
    return {
        "f32": x,
        "f64": x.double(),
        "f16": x.half(),
        "bf16": x.bfloat16(),
        "i64": torch.arange(5),
        "i32": torch.arange(5, dtype=torch.int32),
        "i16": torch.arange(5, dtype=torch.int16),
        "i8": torch.arange(5, dtype=torch.int8),
        "u8": torch.arange(5, dtype=torch.uint8),
        "bool": x > 0,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(x * 2),
        "view": x[1:, ::2],
        "transposed": x.T,
        "expanded": torch.randn(3, 1).expand(3, 4),
    }


@FORMATS
def test_equals_torch(tmp_path, tensors, zipped):
    state = read(save(tensors, tmp_path / "x.pth", zipped))
    assert_same(state, {key: as_numpy(value) for key, value in tensors.items()})
    assert not state["f32"].flags.writeable


@FORMATS
def test_shared_storage_is_shared(tmp_path, tensors, zipped):
    state = read(save(tensors, tmp_path / "x.pth", zipped))
    assert np.shares_memory(state["f32"], state["view"])
    assert np.shares_memory(state["f32"], state["transposed"])
    assert not np.shares_memory(state["f32"], state["parameter"])


def test_zip_is_mapped_not_read(tmp_path):
    path = save({"x": torch.arange(4, dtype=torch.float32)}, tmp_path / "x.pth")
    x = read(path)["x"]
    content = bytearray(path.read_bytes())
    position = content.index(np.float32([0, 1, 2, 3]).tobytes())
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(np.float32(7).tobytes())
    assert x[0] == 7


@FORMATS
def test_module_state_dict(tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    expected = {key: value.numpy() for key, value in module.state_dict().items()}
    assert_same(read(save(module.state_dict(), tmp_path / "x.pth", zipped)), expected)


@FORMATS
def test_checkpoint_of_a_training_script(tmp_path, zipped):
    """The metric models' train.py: DistributedDataParallel, optimiser, options."""
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {
        "model": collections.OrderedDict(
            (f"module.{key}", value) for key, value in module.state_dict().items()
        ),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "previous_best": {"d1": 0.9},
        "args": argparse.Namespace(lr=5e-6, encoder="vits"),
    }
    expected = {key: value.numpy() for key, value in module.state_dict().items()}
    assert_same(read(save(content, tmp_path / "x.pth", zipped)), expected)


class Evil:
    """Runs a command when a careless reader unpickles it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class EvilState:
    """Calls eval through a class this library does not know."""

    def __reduce__(self):
        return eval, ("__import__('os').abort()",)


@FORMATS
@pytest.mark.parametrize("evil", [Evil, lambda _: EvilState()], ids=["system", "eval"])
def test_refuses_to_run_anything(tmp_path, zipped, evil):
    marker = tmp_path / "marker"
    path = save({"x": torch.ones(2), "y": evil(marker)}, tmp_path / "x.pth", zipped)
    with pytest.raises(ValueError, match=r"posix\.system|nt\.system|eval") as error:
        read(path)
    assert str(path) in str(error.value)
    assert "will not be run" in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (lambda: torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (lambda: {"x": torch.ones(1), "best": np.float64(1)}, "'best'.*numpy scalar"),
        (lambda: {"x": torch.ones(1), "device": torch.device("cpu")}, "torch.device"),
        (lambda: {"x": torch.eye(2).to_sparse()}, "'x'.*_rebuild_sparse_tensor"),
        (lambda: {"y": torch.eye(2), "x": torch.eye(2).to_sparse()}, "sparse"),
    ],
    ids=["module", "numpy", "device", "sparse", "sparse-beside"],
)
def test_other_objects_are_refused_by_name(tmp_path, content, name):
    path = save(content(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=name):
        read(path)


def with_pickle(path, data_pkl, storage=b"\0" * 16):
    """Write a zip in torch's layout around a pickle made by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        archive.writestr("archive/data/0", storage)
    return path


def tensor_pickle(offset, shape, stride, count=4, storage="FloatStorage"):
    """Return {"x": a tensor with this geometry} pickled as torch does."""

    def dump(value):
        return pickle.dumps(value, 2)[2:-1]

    return (
        b"\x80\x02}"
        + dump("x")
        + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + b"("
        + dump("storage")
        + f"ctorch\n{storage}\n".encode()
        + dump("0")
        + dump("cpu")
        + dump(count)
        + b"tQ"
        + dump(offset)
        + dump(shape)
        + dump(stride)
        + b"\x89}tRs."
    )


def test_tensor_made_by_hand_is_read(tmp_path):
    """What the next test breaks is right to begin with."""
    storage = np.arange(4, dtype=np.float32)
    path = with_pickle(tmp_path / "x.pth", tensor_pickle(1, (3,), (1,)), storage)
    np.testing.assert_array_equal(read(path)["x"], storage[1:])


@pytest.mark.parametrize(
    ("geometry", "sentence"),
    [
        ((0, (5,), (1,)), "beyond its storage"),
        ((3, (2,), (1,)), "beyond its storage"),
        ((2**62, (1,), (1,)), "beyond its storage"),
        ((0, (2, 2), (2**60, 1)), "beyond its storage"),
        ((0, (2**31, 2**31), (0, 0)), "larger than the file"),
        ((0, (2**64,), (0,)), "malformed tensor"),
        ((-1, (2,), (1,)), "malformed tensor"),
        ((0, (-1,), (1,)), "malformed tensor"),
        ((0, (2,), (-1,)), "malformed tensor"),
        ((0, (2,), (1, 1)), "malformed tensor"),
        ((0, (1,) * 33, (1,) * 33), "malformed tensor"),
        ((0, (2.0,), (1,)), "malformed tensor"),
        ((0, 3, (1,)), "malformed tensor"),
        ((0, (4,), (1,), 8), "storage '0' of 8 float32 has 16 bytes"),
        ((0, (4,), (1,), -4), "malformed storage"),
        ((0, (4,), (1,), 4, "DoubleStorage"), "storage '0' of 4 float64"),
        ((0, (4,), (1,), 4, "ComplexFloatStorage"), "storage '0' of 4 complex64"),
        ((0, (4,), (1,), 4, "StringStorage"), r"torch\.StringStorage"),
    ],
)
def test_absurd_geometry_is_one_sentence(tmp_path, geometry, sentence):
    path = with_pickle(tmp_path / "x.pth", tensor_pickle(*geometry))
    with pytest.raises(ValueError, match=sentence) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tensor_without_storage_is_one_sentence(tmp_path):
    data = tensor_pickle(0, (4,), (1,)).replace(b"tensor_v2", b"tensor_v3")
    data = data.replace(b"\x89}t", b"\x89}ctorch\nfloat32\nt")
    storage = np.arange(4, dtype=np.float32)
    whole = with_pickle(tmp_path / "a.pth", data, storage)
    np.testing.assert_array_equal(read(whole)["x"], storage)
    path = with_pickle(tmp_path / "b.pth", data.replace(b"tQ", b"t"), storage)
    with pytest.raises(ValueError, match=r"b\.pth.*malformed tensor"):
        read(path)


@pytest.mark.parametrize(
    "data_pkl",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # memo of 2^31 entries
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",  # bytes of 2^62
        b"\x80\x02\x8b" + struct.pack("<i", -1) + b".",  # LONG4 of negative size
        b"\x80\x02" + b"(" * 5000 + b".",
        b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
        b"\x80\x02" + b"}U\x01a" * 3000 + b"N" + b"s" * 3000 + b".",
        b"\x80\x02}q\x00U\x05modelh\x00s.",  # contains itself
        b"\x80\x02ccollections\nOrderedDict\n]q\x00h\x00h\x00\x86a\x85R.",
        b"\x80\x02\x82\x01.",  # extension registry
        b"Pstorage\n.",  # persistent id as text
        b"I" + b"9" * 5000 + b"\n.",
        b"\xff\xff",
        b"",
        b"\x80\x02N.",
        b"\x80\x02}.",
    ],
    ids=lambda value: repr(value[:12]),
)
def test_hostile_pickle_is_one_sentence(tmp_path, data_pkl):
    path = with_pickle(tmp_path / "x.pth", data_pkl)
    with pytest.raises(ValueError, match=r"x\.pth") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_compressed_archive(tmp_path):
    path = save({"x": torch.zeros(1000)}, tmp_path / "x.pth")
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    with pytest.raises(ValueError, match="without compression"):
        read(path)


def test_torchscript(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/module.py"):
            archive.writestr(name, b"\x80\x02N.")
    with pytest.raises(ValueError, match="TorchScript"):
        read(path)


def test_another_zip(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones(3))
    with pytest.raises(ValueError, match=r"did not write \(.*'x\.npy'\)"):
        read(tmp_path / "x.npz")


def test_another_pickle(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.dumps({"x": [1, 2]}, 2))
    with pytest.raises(ValueError, match=r"torch\.save did not write"):
        read(path)


def test_legacy_storage_of_another_length(tmp_path):
    path = save({"x": torch.arange(6.0)}, tmp_path / "x.pth", zipped=False)
    content = path.read_bytes()
    count = len(content) - 6 * 4 - 8
    for length in (5, 7, 2**40, 2**63):
        path.write_bytes(
            content[:count] + struct.pack("<Q", length) + content[count + 8 :]
        )
        lacking = rf"truncated \(storage .* needs {4 * length} bytes, 24 are left\)"
        said = "4 bytes longer" if length == 5 else lacking
        with pytest.raises(ValueError, match=said):
            read(path)


@FORMATS
def test_every_truncation_is_one_sentence(tmp_path, zipped):
    path = save({"x": torch.randn(9), "y": torch.ones(2)}, tmp_path / "x.pth", zipped)
    content = path.read_bytes()
    for size in range(0, len(content), 1 if len(content) < 2000 else 3):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"x\.pth: ") as error:
            read(path)
        assert "\n" not in str(error.value)


@FORMATS
def test_flipped_bytes_give_arrays_or_a_sentence(tmp_path, zipped):
    path = save({"x": torch.randn(9), "y": torch.ones(2)}, tmp_path / "x.pth", zipped)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.integers(0, len(content), 800):
        broken = bytearray(content)
        broken[position] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            state = read(path)
            assert all(isinstance(x, np.ndarray) for x in state.values())
        except ValueError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


def test_written_file_is_torch_own(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 5))
    tensors = {
        "f32": values.astype(np.float32),
        "transposed": values.astype(np.float32).T,
        "f64": values,
        "f16": values.astype(np.float16),
        "bf16": values.astype(ml_dtypes.bfloat16),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "four": rng.standard_normal((2, 3, 4, 5)),
    }
    path = tmp_path / "x.pth"
    write_pth(path, tensors)
    result = torch.load(path, weights_only=True)
    assert type(result) is collections.OrderedDict
    assert list(result) == list(tensors)
    assert_same({key: as_numpy(value) for key, value in result.items()}, tensors)
    assert_same(read(path), tensors)
    mapped = torch.load(path, weights_only=True, mmap=True)
    assert mapped["f32"].data_ptr() % 64 == 0


def test_writer_casts(tmp_path):
    x = np.float32([1.1, 2.2])
    write_pth(tmp_path / "x.pth", {"x": x}, "float16")
    result = torch.load(io.BytesIO((tmp_path / "x.pth").read_bytes()))
    assert result["x"].dtype == torch.float16
    np.testing.assert_array_equal(result["x"].numpy(), x.astype(np.float16))
    with pytest.raises(ValueError, match=r"n: dtype int\d+ .*\.pth"):
        write_pth(tmp_path / "x.pth", {"n": np.arange(3)})
