"""Broken model folders: one sentence that names the file and the key, in time."""

import copy
import importlib.resources
import json
import os
import struct

import numpy as np
import pytest

from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.config import from_json
from jax_depth.weights import load_params

TINY = importlib.resources.files("jax_depth") / "assets" / "tiny"
CONFIG = json.loads((TINY / "config.json").read_text())


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes `tiny` with another config or other weights."""

    def write(text=None, data=None):
        path = tmp_path / "broken"
        path.mkdir(exist_ok=True)
        content = (TINY / "model.safetensors").read_bytes() if data is None else data
        (path / "model.safetensors").write_bytes(content)
        (path / "config.json").write_text(json.dumps(CONFIG) if text is None else text)
        return path

    return write


def refused(path, *words):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load_params(path)
    message = str(error.value)
    assert str(path) in message and len(message) < 1000 and "\n" not in message
    for word in words:
        assert word in message
    return message


ENCODER = [
    ("heads", 0),
    ("heads", -1),
    ("heads", 7),
    ("heads", 1.5),
    ("heads", True),
    ("heads", 10**400),
    ("width", "abc"),
    ("width", None),
    ("width", [192]),
    ("width", 0),
    ("width", 2**31),
    ("depth", 10**9),
    ("depth", 900),
    ("depth", 0),
    ("depth", {}),
    ("patch_size", 0),
    ("patch_size", -14),
    ("taps", 3),
    ("taps", [2, 6]),
    ("taps", [-1, 5]),
    ("taps", ["2", "5"]),
    ("taps", [[2], 5]),
    ("taps", [True, 5]),
    ("mlp_hidden", -1),
    ("mlp_hidden", float("nan")),
    ("position_grid", 0),
    ("position_grid", 10**12),
    ("stem", "resnet"),
    ("stem", ["efficientnet_lite0"]),
    ("remat", "yes"),
    ("type", ["hybrid"]),
    ("type", {"a": 1}),
    ("unknown" * 1000, 1),
]
MODEL = [
    ("name", 3),
    ("name", "n" * 10000),
    ("image_size", 0),
    ("image_size", float("inf")),
    ("image_size", 10**400),
    ("mean", [0.1, 0.2]),
    ("mean", [0.1, 0.2, float("inf")]),
    ("mean", [0.1, 0.2, 10**400]),
    ("std", [0, 1, 1]),
    ("std", [1, 1, "1"]),
    ("std", 1),
    ("kind", "words"),
    ("kind", ["inverse_depth"]),
    ("dtype", "int8"),
    ("resample", 5),
    ("max_depth", float("inf")),
    ("head", []),
    ("head", "dpt"),
    ("head.features", 0),
    ("head.channels", [1, 2, 3]),
    ("head.channels", [0, 1, 2, 3]),
    ("head.channels", {"a": 1}),
    ("head.resize", ["up4", "up2", "keep", "sideways"]),
    ("head.output_channels", "32"),
    ("head.activation", ["relu"]),
]


@pytest.mark.parametrize(
    ("key", "value"),
    [*((f"encoder.{key}", value) for key, value in ENCODER), *MODEL],
    ids=lambda x: str(x)[:30],
)
def test_a_value_of_the_config(folder, key, value):
    document = copy.deepcopy(CONFIG)
    *parents, name = key.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    place[name] = value
    refused(folder(json.dumps(document)), "config.json", name.split("unknown")[0])


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[" * 100_000, '{"encoder":' * 100_000, "[]", "3", "null", '"x"'),
        *("{}", '{"a": ' + "9" * 5000 + "}", '{"encoder": 3}', "\ufeff{}"),
        "\x00" * 100,
        '{"encoder": {"type": "hybrid"}, "head": ' + "[" * 50_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_config_that_is_none(folder, text):
    refused(folder(text))


def test_a_config_as_windows_writes_it(folder):
    path = folder("\ufeff" + json.dumps(CONFIG, indent=1).replace("\n", "\r\n"))
    assert checkpoint.load(path)[1].name == CONFIG["name"]
    (path / "config.json").write_bytes(json.dumps(CONFIG).encode("utf-16"))
    refused(path, "config.json", "UTF-8")
    refused(folder('{"name": "a",' + json.dumps(CONFIG)[1:]), "config.json", "twice")


def test_a_second_model_inside_a_second_model():
    document = copy.deepcopy(CONFIG)
    for _ in range(300):
        document = {**copy.deepcopy(CONFIG), "metric": document}
    with pytest.raises(ValueError, match="metric"):
        from_json(json.dumps(document))


def test_taps_may_repeat_and_need_not_rise():
    document = copy.deepcopy(CONFIG)
    document["encoder"] |= {"taps": [5, 5], "width": 12, "heads": 4}
    assert from_json(json.dumps(document)).encoder.taps == (5, 5)


def header(text, data=b""):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw + data


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 16,
        header("[]"),
        header("3"),
        header("null"),
        header('"x"'),
        header("[" * 100_000),
        header('{"a":' * 100_000),
        header('{"__metadata__": ' + "[" * 100_000),
        header('{"__metadata__": 3}'),
        header(json.dumps({"a": 3})),
        header(json.dumps({"a": ENTRY | {"shape": [10**400]}}), b"\0" * 4),
        header(json.dumps({"a": ENTRY | {"shape": [-1]}}), b"\0" * 4),
        header(json.dumps({"a": ENTRY | {"shape": "1"}}), b"\0" * 4),
        header(json.dumps({"a": ENTRY | {"dtype": ["F32"]}}), b"\0" * 4),
        header(json.dumps({"a": ENTRY | {"data_offsets": [0, 1e400]}}), b"\0" * 4),
        header(json.dumps({"a" * 100_000: ENTRY}), b"\0" * 4),
        header(json.dumps({"a/" * 50_000: ENTRY}), b"\0" * 4),
        header(
            json.dumps({"a": ENTRY, "a/b": ENTRY | {"data_offsets": [4, 8]}}), b"\0" * 8
        ),
        header(json.dumps({"a": ENTRY | {"dtype": "I32"}}), b"\0" * 4),
    ],
    ids=range(20),
)
def test_weights_that_are_none(folder, data):
    refused(folder(data=data), "model.safetensors")


def test_weights_that_are_not_finite(folder, tmp_path, capsys):
    params, config = checkpoint.load(folder())
    leaves = {k: np.array(v) for k, v in checkpoint.flatten(params).items()}
    name = sorted(leaves)[3]
    leaves[name].reshape(-1)[0] = np.nan
    path = tmp_path / "nan"
    checkpoint.save(path, checkpoint.unflatten(leaves), config)
    refused(path, name, "NaN or infinite")
    target = tmp_path / "out"
    assert main(["convert", str(path), "--to", str(target)]) == 1
    said = capsys.readouterr().err
    assert name in said and str(path) in said and not target.exists()
    command = ["convert", str(path), "--to", str(target), "--allow-nonfinite"]
    assert main(command) == 0
    np.testing.assert_array_equal(
        checkpoint.flatten(checkpoint.load(target)[0])[name], leaves[name]
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_named_pipe_in_a_folder(folder, name):
    path = folder()
    (path / name).unlink()
    os.mkfifo(path / name)
    refused(path, name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".index.json"])
def test_a_named_pipe_as_weights(tmp_path, suffix):
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    from jax_depth_convert import read

    with pytest.raises(ValueError, match="named pipe") as error:
        read(path)
    assert str(path) in str(error.value)
