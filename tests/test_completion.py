"""The script for bash completes what a user would want completed."""

import shutil
import subprocess
import sys

import pytest

from jax_depth.cli.completion import SHELLS
from jax_depth.cli.main import COMMANDS, main

# Asks for completions as bash does, where the last word is being written.
_ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_jax_depth
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    argv = [sys.executable, "-m", "jax_depth", "completion", "bash"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    file = tmp_path_factory.mktemp("completion") / "script"
    file.write_text(done.stdout)
    return file


def completions(script, *words):
    argv = ["bash", "-c", _ASK, "bash", str(script), "jax-depth", *words]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert not done.stderr
    return done.stdout.split()


def test_commands_options_and_models(script):
    assert set(completions(script, "")) >= set(COMMANDS)
    assert completions(script, "pre") == ["predict"]
    assert "--colormap" in completions(script, "predict", "--co")
    assert completions(script, "predict", "--colormap", "tur") == ["turbo"]
    models = completions(script, "scene", "--model", "depth-anything-v2-s")
    assert models == ["depth-anything-v2-small"]


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish(tmp_path):
    argv = [sys.executable, "-m", "jax_depth", "completion", "fish"]
    script = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    (tmp_path / "script").write_text(script)

    def completions(line):
        ask = f"source {tmp_path}/script; complete --do-complete '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", ask], capture_output=True, text=True
        )
        assert not done.stderr
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert set(completions("jax-depth ")) >= set(COMMANDS)
    assert completions("jax-depth pre") == ["predict"]
    assert "--colormap" in completions("jax-depth predict --co")
    assert completions("jax-depth predict --colormap tur") == ["turbo"]


def test_what_is_offered_is_told(capsys):
    assert main(["completion", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"{shell}:" in out for shell in SHELLS)


def test_without_shtab_a_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 2
    assert "pip install 'jax_depth[completion]'" in capsys.readouterr().err
