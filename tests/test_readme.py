"""Every command and every snippet of the README runs as it stands there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from jax_depth.catalog import MODELS
from jax_depth.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, text in BLOCKS
    if language == "bash"
    for line in text.splitlines()
    if line and not line.startswith("#")
]
# Need what a test may not have: a network, published weights, or the tests themselves.
ELSEWHERE = ("pip install", "pytest", "git clone", "cd ")
PUBLISHED = [c for c in COMMANDS if re.search(r"depth-anything|\.pth", c)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a copy of what a user of the README sees."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "coffee.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _jax_depth_commands():
    for command in COMMANDS:
        for part in command.split("&&"):
            part = part.strip()
            if part.startswith("jax-depth"):
                yield part
            else:
                assert part.startswith(ELSEWHERE), f"README: {part} is run by no test"


@pytest.mark.parametrize("command", [*dict.fromkeys(_jax_depth_commands())])
def test_commands(command, folder, capsys):
    arguments = shlex.split(command, comments=True)[1:]
    if any(command in published for published in PUBLISHED):
        pytest.skip("needs published weights, which are not on this machine")
    assert main(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "code", [text for language, text in BLOCKS if language == "python"]
)
def test_snippets(code, folder):
    exec(compile(code, "README.md", "exec"), {})


def test_every_model_is_listed():
    for name in MODELS:
        stem = re.sub(r"-(small|base|large|giant)(-registers)?$", "", name)
        assert f"`{stem}" in README, name


def test_links_point_to_files():
    for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
