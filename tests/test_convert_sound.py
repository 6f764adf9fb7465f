"""Checkpoints as people save them: weights beside anything that is data."""

import argparse
import array
import collections
import datetime
import pathlib
import sys
import types

import ml_dtypes
import numpy as np
import pytest
import torch
from small_models import ENCODER, RELATIVE, assert_same, random_params

from jax_depth.checkpoint import flatten, save
from jax_depth_convert import from_torch, load, read, to_torch

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
WEIGHTS = {
    "pretrained.cls_token": torch.arange(6.0).reshape(1, 1, 6),
    "depth_head.projects.0.weight": torch.ones(2, 3, 1, 1),
}
PLAIN = {key: value.numpy() for key, value in WEIGHTS.items()}


def saved(tmp_path, content, zipped=True, **options):
    path = tmp_path / "x.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def with_attribute():
    tensor = torch.nn.Parameter(torch.ones(2))
    tensor.note = "kept by DDP"
    return tensor


BESIDE = {
    "loss": torch.tensor(0.25),
    "step": torch.tensor(3, dtype=torch.int64),
    "rng": torch.get_rng_state(),
    "numpy_rng": np.random.RandomState(0).get_state(),
    "numpy float": np.float64(0.9),
    "numpy float32": {"d1": np.float32(0.9)},
    "numpy int": np.int64(3),
    "numpy bool": np.bool_(True),
    "numpy array": np.arange(5),
    "numpy big-endian": np.arange(5, dtype=">f4"),
    "numpy fortran": np.asfortranarray(np.eye(3)),
    "numpy text": np.array(["a", "bc"]),
    "numpy objects": np.array([{}, None], dtype=object),
    "numpy dtype": np.dtype("float32"),
    "dtype": torch.float32,
    "bf16": torch.bfloat16,
    "device": torch.device("cuda", 0),
    "size": torch.Size([2, 3]),
    "layout": torch.strided,
    "set": {1, "a"},
    "frozenset": frozenset({1, 2}),
    "Counter": collections.Counter({5: 1, 10: 1}),
    "milestones": {"milestones": collections.Counter([5, 5])},
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(dict, a=1),
    "defaultdict of counts": collections.defaultdict(int, a=1),
    "deque": collections.deque([1, 2], maxlen=3),
    "complex": torch.ones(2, dtype=torch.complex64),
    "complex128": torch.ones(2, dtype=torch.complex128),
    "complex number": 1 + 2j,
    "path": pathlib.Path("/data/run"),
    "pure path": pathlib.PureWindowsPath("C:/run"),
    "args": argparse.Namespace(lr=5e-6, out=pathlib.Path("out"), device="cpu"),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"\x00\xff"),
    "large integer": 1 << 127,
    "negative": -(1 << 40),
    "nan": float("nan"),
    "range": range(3),
    "slice": slice(1, 2),
    "ellipsis": ...,
    "array": array.array("d", [1.0]),
    "version": torch.__version__,
    "time": datetime.datetime(2026, 1, 2),
    "elapsed": datetime.timedelta(seconds=3),
    "tuple keys": {(1, 2): 3, None: 4, 1.5: 5},
    "parameter": with_attribute(),
    "sparse": torch.eye(2).to_sparse(),
    "float8": torch.ones(2).to(torch.float8_e4m3fn),
    "uint16": torch.ones(2, dtype=torch.uint16),
    "meta": torch.ones(2, device="meta"),
    "list": [torch.ones(1), {"a": torch.ones(1)}],
    "storage": torch.ones(2).untyped_storage(),
}


@FORMATS
@pytest.mark.parametrize("name", BESIDE)
def test_data_beside_the_weights(tmp_path, name, zipped):
    if not zipped and name in ("meta", "storage"):
        pytest.skip("torch's legacy writer has another form of it")
    content = {"epoch": 3, "model": WEIGHTS, "beside": BESIDE[name]}
    assert_same(read(saved(tmp_path, content, zipped)), PLAIN)


@pytest.mark.parametrize("name", ["loss", "numpy float", "device", "args", "set"])
def test_data_at_any_level(tmp_path, name):
    beside = BESIDE[name]
    content = {"run": {"state_dict": WEIGHTS, "x": beside}, "x": beside}
    assert_same(read(saved(tmp_path, content)), PLAIN)
    optimizer = {"state": {0: {"exp_avg": torch.ones(3), "x": beside}}}
    content = {"optimizer": optimizer, "model": WEIGHTS}
    assert_same(read(saved(tmp_path, content)), PLAIN)


def test_a_number_beside_known_keys_is_no_weight(tmp_path):
    assert_same(read(saved(tmp_path, WEIGHTS | {"epoch": 3, "lr": 1e-5})), PLAIN)


@pytest.mark.parametrize(
    "nest",
    "state_dict model model_state_dict net network module weights params model_ema "
    "ema ema_model teacher student depth_anything whatever".split(),
)
def test_nests(tmp_path, nest, capsys):
    for content in (
        {nest: WEIGHTS, "epoch": 3, "loss": torch.ones(1)},
        {nest: {"state_dict": WEIGHTS}},
        {nest: {f"module.{key}": value for key, value in WEIGHTS.items()}},
    ):
        assert_same(read(saved(tmp_path, content)), PLAIN)
    assert capsys.readouterr().err == ""


def test_of_several_nests_it_is_said_which(tmp_path, capsys):
    other = {key: value + 1 for key, value in WEIGHTS.items()}
    path = saved(tmp_path, {"model_ema": other, "model": WEIGHTS, "loss": 1.0})
    assert_same(read(path), PLAIN)
    said = capsys.readouterr().err
    assert str(path) in said and "from 'model'" in said and "'model_ema'" in said
    assert "--nest" in said
    assert read(path, nest="model_ema")["pretrained.cls_token"][0, 0, 0] == 1
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match=r"'net'.*: 'model', 'model_ema'"):
        read(path, nest="net")


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "prefix",
    "module. _orig_mod. module._orig_mod. model. model.module. net. student. "
    "model._orig_mod. model.net. _fsdp_wrapped_module.".split(),
)
@pytest.mark.parametrize("config", [RELATIVE, ENCODER], ids=["depth", "encoder"])
@pytest.mark.parametrize("layout", ["original", "transformers"])
def test_prefixes(tmp_path, prefix, config, layout):
    state = to_torch(random_params(config), config, layout)
    assert_same(
        flatten(from_torch(prefixed(prefix, state), config)),
        flatten(from_torch(state, config)),
    )
    tensors = {key: torch.from_numpy(value) for key, value in state.items()}
    path = saved(tmp_path, {"state_dict": prefixed(prefix, tensors)})
    assert_same(read(path), state)


def test_a_compiled_encoder_alone():
    state = to_torch(random_params(RELATIVE), RELATIVE)
    compiled = {
        key.replace("pretrained.", "pretrained._orig_mod."): value
        for key, value in state.items()
    }
    assert_same(
        flatten(from_torch(compiled, RELATIVE)), flatten(from_torch(state, RELATIVE))
    )


@pytest.mark.parametrize(
    "keys",
    [
        ("model.backbone.pretrained.cls_token", "model.head.scratch.x.weight"),
        ("model.x", "model.y"),
        ("model.pretrained.cls_token", "other.weight"),
        ("pretrained.x", "model.y"),
    ],
)
def test_a_name_alone_is_no_prefix(tmp_path, keys):
    state = {key: np.ones(1, np.float32) for key in keys}
    tensors = {key: torch.from_numpy(value) for key, value in state.items()}
    assert_same(read(saved(tmp_path, tensors)), state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@FORMATS
def test_protocols(tmp_path, protocol, zipped):
    content = {"model": WEIGHTS, "n": np.float64(1), "b": b"\xff", "s": {1}}
    content["best"] = np.eye(3)[:, ::-1]
    path = saved(tmp_path, content, zipped, pickle_protocol=protocol)
    assert_same(read(path), PLAIN)


@pytest.mark.parametrize("protocol", [2, 5])
def test_newer_dtypes_and_numpy_arrays_as_weights(tmp_path, protocol):
    values = torch.tensor([1.0, -0.5, 2.0])
    content = {
        "e4m3": values.to(torch.float8_e4m3fn)[1:],
        "e5m2": values.to(torch.float8_e5m2)[1:],
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "c64": torch.tensor([1 + 2j]),
        "numpy": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">f4"),
    }
    assert_same(
        read(saved(tmp_path, content, pickle_protocol=protocol)),
        {
            "e4m3": np.float32([-0.5, 2]).astype(ml_dtypes.float8_e4m3fn),
            "e5m2": np.float32([-0.5, 2]).astype(ml_dtypes.float8_e5m2),
            "u16": np.uint16([1, 65535]),
            "c64": np.complex64([1 + 2j]),
            "numpy": np.arange(6.0).reshape(2, 3),
            "big": np.arange(3, dtype=np.float32),
        },
    )


@FORMATS
def test_values_that_are_not_those_stored(tmp_path, zipped):
    lazy = {"neg": torch._neg_view(torch.ones(2)), "conj": torch.ones(2) * 1j}
    lazy["conj"] = lazy["conj"].conj()
    for flag, tensor in lazy.items():
        path = saved(tmp_path, {**WEIGHTS, "a": tensor}, zipped)
        with pytest.raises(ValueError, match=rf"'a'.*{flag} view"):
            read(path)
        assert_same(read(saved(tmp_path, {"model": WEIGHTS, "a": tensor})), PLAIN)


def options(module, **values):
    """Return a dict of a class that training scripts keep their options in."""
    kind = type("EasyDict", (dict,), {"__module__": module})
    sys.modules.setdefault(module, types.ModuleType(module)).EasyDict = kind
    return kind(values)


def test_dicts_of_other_names(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "easydict", types.ModuleType("easydict"))
    beside = options("easydict", lr=1.0, out=[1])
    assert_same(read(saved(tmp_path, {"model": WEIGHTS, "o": beside})), PLAIN)
    assert_same(read(saved(tmp_path, options("easydict", model=WEIGHTS))), PLAIN)


def test_a_tensor_over_several_processes(tmp_path):
    from torch.distributed.tensor import DTensor

    # As its class pickles itself; a mesh would need processes.
    class Sharded:
        def __reduce__(self):
            shape, flat = (2,), (torch.float32, torch.strided, torch.device("cpu"))
            args = (DTensor, flat[0], shape, (1,), 0, flat[1], flat[2], False)
            rebuild = torch._utils._rebuild_wrapper_subclass
            return torch._tensor._rebuild_from_type_v2, (rebuild, DTensor, args, None)

    beside = {"model": WEIGHTS, "a": Sharded()}
    assert_same(read(saved(tmp_path, beside)), PLAIN)
    with pytest.raises(ValueError, match=r"'a'.*DTensor; gather it"):
        read(saved(tmp_path, {**WEIGHTS, "a": Sharded()}))


def test_a_folder_of_torch_distributed_names_the_tool(tmp_path):
    (tmp_path / ".metadata").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match="dcp_to_torch"):
        read(tmp_path)


def test_the_content_says_the_format(tmp_path):
    path = saved(tmp_path, WEIGHTS)
    assert_same(read(path.rename(tmp_path / "x.safetensors")), PLAIN)


def test_what_is_not_data_is_refused_by_name(tmp_path):
    things = {"Linear": torch.nn.Linear(1, 1), "ReLU": torch.nn.ReLU, "print": print}
    for name, thing in things.items():
        with pytest.raises(ValueError, match=rf"\.{name}'.*will not be run"):
            read(saved(tmp_path, {"model": WEIGHTS, "beside": thing}))


@pytest.mark.parametrize("layout", ["original", "transformers"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(layout, value):
    state = to_torch(random_params(RELATIVE), RELATIVE, layout)
    key = [*state][7]
    state[key].reshape(-1)[-1] = value
    with pytest.raises(ValueError, match="NaN or infinite") as error:
        from_torch(state, RELATIVE)
    assert repr(key) in str(error.value)
    params = from_torch(state, RELATIVE, allow_nonfinite=True)
    assert sum(not np.isfinite(leaf).all() for leaf in flatten(params).values()) == 1


def test_a_folder_of_ours_is_not_taken_on_trust(tmp_path):
    params = random_params(RELATIVE)
    save(tmp_path / "a", params, RELATIVE)
    assert_same(flatten(load(tmp_path / "a")[0]), flatten(params))
    flatten(params)["head/output_conv1/bias"][3] = np.nan
    save(tmp_path / "b", params, RELATIVE)
    with pytest.raises(ValueError, match=r"b: .*output_conv1/bias.*NaN or infinite"):
        load(tmp_path / "b")
    found = load(tmp_path / "b", allow_nonfinite=True)[0]
    assert np.isnan(flatten(found)["head/output_conv1/bias"][3])


def test_complex_weights_are_refused_by_name():
    state = to_torch(random_params(RELATIVE), RELATIVE)
    key = [*state][3]
    state[key] = state[key].astype(np.complex64)
    with pytest.raises(ValueError, match="complex64") as error:
        from_torch(state, RELATIVE)
    assert repr(key) in str(error.value)


def test_a_wrong_model_is_one_short_sentence():
    state = to_torch(random_params(ENCODER), ENCODER)
    for wrong in (state, prefixed("pretrained.", state)):
        with pytest.raises(ValueError, match="small-relative") as error:
            from_torch(wrong, RELATIVE)
        assert len(str(error.value)) < 500
