"""docs/several-photos.md runs as it stands, with a toy model for the published one."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from PIL import Image
from test_views import _estimator, _photos

import jax_depth
from jax_depth.cli import views as command
from jax_depth.cli.main import main
from jax_depth.views import Views

PAGE = Path(__file__).parents[1] / "docs" / "several-photos.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    photos = _photos(3)
    (tmp_path / "photos").mkdir()
    for name, photo in zip("abc", photos, strict=True):
        Image.fromarray(photo).save(tmp_path / f"{name}.jpg")
        Image.fromarray(photo).save(tmp_path / "photos" / f"{name}.jpg")
    # A second and a half: three views at the two a second that the page asks for.
    write_clip(tmp_path / "clip.mp4", np.stack(photos * 4), 8)
    monkeypatch.setattr(command, "load_estimator", lambda args: _estimator())
    monkeypatch.setattr(jax_depth, "load", lambda name: _estimator())

    lines = re.findall(r"^jax-depth (.*)$", text, re.M)
    assert len(lines) == 2
    for number, line in enumerate(lines):
        words = shlex.split(line)
        words[words.index("out")] = f"out{number}"
        assert main(words) == 0, line
    assert (tmp_path / "out0/colmap/sparse/0/cameras.txt").is_file()
    assert (tmp_path / "out1/scene.glb").is_file()

    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert (tmp_path / "scene.glb").is_file()
    assert isinstance(names["views"], Views) and len(names["points"])
