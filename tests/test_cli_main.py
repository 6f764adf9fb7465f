"""The command line's frame: help without jax, versions, the catalogue, the cache."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import pytest

import jax_depth
from jax_depth.cli import compilation_cache
from jax_depth.cli.main import COMMANDS, main
from jax_depth.formats.atomic import atomic, new_directory

# The help, asked for in a process of its own, which then says what it imported.
_HELP = """
import sys
from jax_depth.cli.main import main
code = main(sys.argv[1:])
heavy = {"jax", "flax", "torch", "optax", "orbax", "huggingface_hub"}
print("imported:", sorted(heavy & set(sys.modules)))
sys.exit(code)
"""


@pytest.mark.parametrize("argv", [["--help"], ["predict", "--help"], ["models", "-h"]])
def test_help_does_not_import_jax(argv):
    done = subprocess.run(
        [sys.executable, "-c", _HELP, *argv], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage: jax-depth" in done.stdout
    assert done.stdout.endswith("imported: []\n")


def test_python_dash_m_is_the_same_program():
    argv = [sys.executable, "-m", "jax_depth", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout == f"jax-depth {jax_depth.__version__}\n"


@pytest.mark.parametrize("argv", [[], ["paint"], ["--unknown"], ["predict", "--what"]])
def test_wrong_words_end_with_2(argv, capsys):
    assert main(argv) == 2
    assert "error: " in capsys.readouterr().err


def test_the_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n    {name}" in out  # argparse breaks the line after the longest


def test_an_unknown_model_is_wrong_usage(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compilation_cache, "use_compilation_cache", lambda: None)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert main(["predict", "a.png", "--model", "depth-anything-v3"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("jax-depth: predict: ")
    assert "'depth-anything-v3'" in err
    assert main(["predict", "a.png", "--weights", "gone.pth"]) == 2
    assert "'gone.pth' does not exist" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback_whenever_it_comes(capsys, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("importlib.import_module", pressed)
        assert main(["models"]) == 130
    assert capsys.readouterr().err == "jax-depth: interrupted\n"
    monkeypatch.setattr("jax_depth.cli.models.run", pressed)
    assert main(["models", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "interrupted"}
    assert err == "jax-depth: models: interrupted\n"


def test_a_note_is_printed_once(capsys, monkeypatch):
    def run(_):
        for text in ("one", "one", "two"):
            with warnings.catch_warnings():  # forgets what was shown
                warnings.warn_explicit(text, UserWarning, "x", 1, "jax_depth.x")
        return 0

    monkeypatch.setattr("jax_depth.cli.models.run", run)
    assert main(["models"]) == 0
    err = capsys.readouterr().err
    assert err == "jax-depth: note: one\njax-depth: note: two\n"


def test_models_lists_the_whole_catalogue(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "MILLIONS", "KIND", "LICENCE", "WEIGHTS"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert list(rows) == list(jax_depth.MODELS)
    assert rows["tiny"].endswith("bundled")
    assert "335.3" in rows["depth-anything-v2-large"]
    assert "CC-BY-NC-4.0" in rows["depth-anything-v2-large"]
    assert "metric_depth up to 80 m" in rows["depth-anything-v2-metric-outdoor-small"]
    assert rows["depth-anything-v2-giant"].endswith("from a file")


def test_models_as_json(capsys):
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows["depth-anything-v2-metric-indoor-base"]
    assert row["parameters"] == 97_470_785
    assert (row["kind"], row["max_depth"]) == ("metric_depth", 20.0)


def test_the_compilation_cache_lies_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    try:
        compilation_cache.use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "compiled")
        assert (tmp_path / "compiled").is_dir()
        # The user's own choice goes first, and a folder that cannot be is no error.
        jax.config.update("jax_compilation_cache_dir", before)
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
        compilation_cache.use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == before
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        monkeypatch.setenv("JAX_DEPTH_CACHE", "/dev/null/cache")
        compilation_cache.use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == before
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_names_that_begin_with_a_dash(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "-o", "out", "--", "-a.png", "b.png"]) == 1
    said = capsys.readouterr().err
    assert "-a.png' does not exist" in said and "'b.png' does not exist" in said


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "a.jpg", "-o", "gs://b/out"],
        ["eval", "own", "--data", "pairs:own", "-o", "s3://b/out"],
        ["convert", "tiny", "--to", "hf://b/out"],
        ["export", "tiny", "-o", "memory://b/tiny.onnx"],
        ["label", "gs:///b/photos", "-o", "out"],
        ["train", "smoke", "--workdir", "gs:///b/run"],
        ["train", "smoke", "--workdir", "W", "--set", "model.init=s3://b/model"],
    ],
)
def test_an_address_is_refused_before_anything_is_made(
    words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "is an address, not a path; mount the store" in error
    assert not list(tmp_path.iterdir())


def test_no_writer_makes_a_folder_called_as_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("gs://b/x", Path("s3://b/x")):
        with pytest.raises(ValueError, match="is an address"), atomic(path):
            pass
        with pytest.raises(ValueError, match="is an address"), new_directory(path, ()):
            pass
    assert not list(tmp_path.iterdir())
