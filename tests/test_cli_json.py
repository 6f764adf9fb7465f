"""`--json`: every subcommand has it, and prints one document whatever happens."""

import importlib
import json
import re
from pathlib import Path

import pytest
from small_models import RELATIVE, random_params

from jax_depth import checkpoint
from jax_depth.cli.main import COMMANDS, build_parser, main

PAGE = (Path(__file__).parent.parent / "docs" / "scripting.md").read_text()


@pytest.fixture
def model(tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "model", random_params(RELATIVE), RELATIVE)
    monkeypatch.chdir(tmp_path)


def document(capsys, *argv, code=0):
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def keys_of(command):
    """Return what docs/scripting.md says the document of a command holds."""
    (cell,) = re.findall(rf"^\| `{command}` \| (.*) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", cell))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_knows_json(name):
    _, parsers = build_parser()
    importlib.import_module(f"jax_depth.cli.{name}").add_arguments(parsers[name])
    # A document of its own with the keys the manual lists, or one made for it.
    own = "--json" in parsers[name].format_help()
    assert own == (f"| `{name}` |" in PAGE), name


def test_shapes_are_as_documented(model, capsys):
    assert set(document(capsys, "models")[0]) == keys_of("models")
    found = document(capsys, "convert", "model", "--to", "out.pth")
    assert set(found) == keys_of("convert")
    assert found["bytes"] == Path("out.pth").stat().st_size
    shown = document(capsys, "train", "smoke", "--show")
    assert set(shown["optimizer.learning_rate"]) == {"value", "source"}


def test_errors_are_documents_too(model, capsys):
    found = document(capsys, "convert", "nothing.pth", "--to", "x", code=1)
    assert list(found) == ["error"] and "nothing.pth" in found["error"]
    found = document(capsys, "export", "-o", "x", code=2)
    assert "end it in .stablehlo" in found["error"]


def test_a_command_without_a_document_gets_one(capsys):
    found = document(capsys, "completion", "tcsh")
    assert found["exit_code"] == 0 and len(found["output"]) > 3
