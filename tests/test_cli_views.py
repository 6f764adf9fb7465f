"""`jax-depth views`: photos of one place or a clip in, one scene out."""

import json

import numpy as np
import pytest
import trimesh
from clips import write_clip
from PIL import Image
from test_views import _estimator, _metric, _photos

from jax_depth.cli import views as command
from jax_depth.cli.main import main
from jax_depth.views import Views

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Put a toy model in place of every other, and three photos in `in`."""
    monkeypatch.setattr(command, "load_estimator", lambda args: _estimator())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name, photo in zip("abc", _photos(3), strict=True):
        Image.fromarray(photo).save(tmp_path / "in" / f"{name}.png")
    return tmp_path


@pytest.mark.slow
def test_photos_become_one_scene_in_every_format(folder, capsys):
    words = ["views", "in", "-o", "out", "--format", "glb,ply,colmap,npz", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["inputs"] == 3 and document["unit"] is None
    assert document["reference"] in ("a", "b", "c")
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert names == ["colmap", "scene.glb", "scene.npz", "scene.ply"]
    views = Views.load(folder / "out/scene.npz")
    assert views.names == ("a", "b", "c")
    scene = trimesh.load(folder / "out/scene.glb")
    (cloud,) = scene.geometry.values()
    assert len(cloud.vertices) == len(views.points()[0])
    assert (folder / "out/colmap/images/a.png").exists()


def test_a_photo_that_cannot_be_read_is_named_and_the_others_make_the_scene(
    folder, capsys
):
    (folder / "in/b.png").write_bytes(b"no picture")
    assert main(["views", "in", "-o", "out", "--max-points", "50"]) == 1
    out, err = capsys.readouterr()
    assert "b.png" in err and "2 views" in out
    assert (folder / "out/scene.glb").exists()


def test_frames_of_a_clip_are_views(folder, capsys):
    frames = np.stack(_photos(8))
    write_clip(folder / "clip.mp4", frames, 8)
    assert main(["views", "clip.mp4", "--fps", "2", "--format", "npz"]) == 0
    assert len(Views.load(folder / "views_out/scene.npz")) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["in", "--format", "obj"], "obj"),
        (["in", "--confidence", "100"], "--confidence"),
        (["in", "--fps", "0"], "above 0"),
    ],
)
def test_wrong_usage_is_one_sentence(folder, capsys, words, sentence):
    assert main(["views", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (folder / "views_out").exists()


def test_a_model_of_single_pictures_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "load_estimator", lambda args: _metric())
    assert main(["views", "in"]) == 2
    assert "depth-anything-3-small" in capsys.readouterr().err
