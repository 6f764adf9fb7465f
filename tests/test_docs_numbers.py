"""docs/what-the-numbers-mean.md runs as it stands; the photo's figures are README's."""

import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project_scripts import load_script

from jax_depth.cli.main import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "what-the-numbers-mean.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
motorcycle = load_script("motorcycle")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work where a reader would: a folder with the example photos."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.long
def test_snippets(folder):
    names = {}
    for language, code in BLOCKS:
        if language == "python":
            exec(compile(code, "what-the-numbers-mean.md", "exec"), names)
    assert names["metres"].unit == "m"
    np.testing.assert_allclose(names["fit"].residuals, 0, atol=1e-3)


@pytest.mark.slow
def test_commands(folder, capsys):
    lines = [c for lang, text in BLOCKS if lang == "bash" for c in text.splitlines()]
    done = []
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        assert program == "jax-depth"
        if words[0] != "compare":  # README has the same line, and its test runs it
            assert main(words) == 0, capsys.readouterr().err
            done.append(words[0])
    assert done == ["calibrate", "predict", "predict", "predict"]


def test_the_figures_of_a_photo_go_through_the_command(tmp_path, capsys):
    """On a picture in the format of the wheel: a slope whose depth is known."""
    i, j = np.mgrid[:60, :80]
    rgb = np.stack([4 * i % 256, 3 * j, 255 - 4 * i % 256], 2).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "motorcycle_left.png")
    shift = np.where(j < 5, np.inf, 20.0 + i)
    np.savez(tmp_path / "motorcycle_disp.npz", shift)
    found, baseline = motorcycle.figures(tmp_path, "tiny")
    assert set(motorcycle.METRICS) <= set(found)
    # Disparity is linear in the row, and so is the baseline.
    assert baseline["abs_rel"] < 1e-9 and baseline["spearman"] > 0.9999
    assert "1 of 1 images judged" in capsys.readouterr().out
    assert motorcycle.row("x", baseline).startswith("| x | 0.000 | 1.000 | 1.000 |")


def test_the_photo_itself_gives_the_figures_of_the_readme():
    source = os.environ.get("JAX_DEPTH_MOTORCYCLE")
    if not source:
        pytest.skip("JAX_DEPTH_MOTORCYCLE does not name a folder with the photo")
    found, baseline = motorcycle.figures(Path(source), "tiny")
    readme = (ROOT / "README.md").read_text()
    assert motorcycle.row("`tiny`", found) in readme
    assert motorcycle.row(motorcycle.RAMP, baseline) in readme
