"""Options of a model: the same in every command that has a model."""

import argparse
import importlib

import numpy as np
import pytest
from PIL import Image

from jax_depth.cli.main import main
from jax_depth.cli.model_options import ModelOptions

LINES = {
    "predict": "a.jpg",
    "video": "a.mp4",
    "label": "unlabelled:a -o b",
    "scene": "a.jpg",
    "calibrate": "a.jpg",
    "eval": "nyu --data x",
}


def parse(command: str, words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"jax_depth.cli.{command}").add_arguments(parser)
    return parser.parse_args(words.split())


@pytest.mark.parametrize("command", LINES)
def test_every_command_takes_the_model_that_is_deployed(command):
    options = "--weights w.pth --size 28 --resample transformers --dtype bfloat16 "
    options += "--batch-size 3 --engine openvino --encoder vits"
    found = ModelOptions.of(parse(command, f"{LINES[command]} {options}"))
    assert found == ModelOptions(
        encoder="vits",
        weights="w.pth",
        size=28,
        resample="transformers",
        dtype="bfloat16",
        batch_size=3,
        engine="openvino",
    )


@pytest.mark.parametrize(("command", "words"), [("app", ""), ("compare", "--models x")])
def test_several_models_share_an_engine(command, words):
    args = parse(command, f"{words} --engine openvino --dtype bfloat16")
    assert (args.engine, args.dtype) == ("openvino", "bfloat16")


def test_options_a_command_lacks_have_their_defaults():
    found = ModelOptions.of(argparse.Namespace(model="tiny", paths=["a"]))
    assert found == ModelOptions(model="tiny")
    assert found.source() == ("tiny", None)


@pytest.mark.parametrize("name", ["", " ", "missing.pth", "a/b", "n" * 300, "folder"])
def test_a_model_that_cannot_be_loaded_is_wrong_usage(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save("a.png")
    for words in (["predict", "a.png"], ["export", "-o", "a.onnx"], ["bench"]):
        assert main([*words, "--model", name]) == 2
    assert main(["compare", "a.png", "--models", "./missing.pth"]) == 2
    assert [path.name for path in tmp_path.iterdir()].count("a.onnx") == 0
