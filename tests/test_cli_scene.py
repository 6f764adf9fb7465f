"""`jax-depth scene`: what is written, what is stated, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from fake_estimator import FakeEstimator
from PIL import Image

from jax_depth.cli import scene as command
from jax_depth.cli.main import main


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Put a fake model in place of every other: depth is the red channel."""
    estimator = FakeEstimator(kind="metric_depth")
    monkeypatch.setattr(command, "load_estimator", lambda args: estimator)
    monkeypatch.chdir(tmp_path)
    return estimator


def photo(path, low=2, high=5, size=(20, 30)):
    """Write a picture whose red grows from low to high, left to right."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 0] = np.rint(np.linspace(low, high, size[1]))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_one_photo_becomes_a_mesh_and_a_note(fake, capsys):
    photo("in/a.png")
    photo("in/deep/b.png")
    assert main(["scene", "in"]) == 0
    mesh = trimesh.load("scene_out/a_mesh.glb", force="mesh")
    assert sorted(set(-mesh.vertices[:, 2])) == [2, 3, 4, 5]
    assert Path("scene_out/deep/b_mesh.glb").exists()
    out, err = capsys.readouterr()
    assert out.startswith("2 inputs: 2 written to scene_out; ")
    assert err.count("note: field of view assumed 60 degrees") == 1
    assert "with --fov, --focal or --intrinsics" in err


def test_every_format_and_the_summary_for_scripts(fake, capsys):
    photo("a.png")
    formats = "glb,glb-points,ply,colmap,normals,stereo,anaglyph"
    argv = ["scene", "a.png", "--format", formats, "--fov", "90", "--json"]
    assert main(argv) == 0
    names = sorted(path.name for path in Path("scene_out").iterdir())
    assert names == [
        "a_anaglyph.png",
        "a_colmap",
        "a_mesh.glb",
        "a_normals.png",
        "a_points.glb",
        "a_points.ply",
        "a_stereo.png",
    ]
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary["written"] == ["a.png"]
    camera = summary["cameras"]["a.png"]
    assert (camera["source"], camera["cx"]) == ("--fov", 14.5)
    assert camera["fx"] == pytest.approx(15)
    assert err == ""
    # Again: the folder of COLMAP is replaced, and with --skip-existing nothing runs.
    assert main(argv) == 0
    runs = len(fake.batches)
    assert main([*argv, "--skip-existing"]) == 0
    assert len(fake.batches) == runs


def test_the_camera_that_is_stated_is_used(fake):
    photo("a.png")
    argv = ["scene", "a.png", "--format", "ply"]
    assert main([*argv, "--intrinsics", "30,60,0,19"]) == 0
    x, y, z = trimesh.load("scene_out/a_points.ply").vertices.T
    # The corner below left is on the axis, the upper right one 29/30 and 19/60 off.
    assert np.isclose((x / -z).min(), 0) and np.isclose((x / -z).max(), 29 / 30)
    assert np.isclose((y / -z).min(), 0) and np.isclose((y / -z).max(), 19 / 60)
    assert main([*argv, "--focal", "30"]) == 0
    x, _, z = trimesh.load("scene_out/a_points.ply").vertices.T
    assert np.isclose((x / -z).max(), 14.5 / 30)


def test_a_relative_model_needs_its_scale_stated(fake, capsys):
    fake.config.kind = "inverse_depth"
    photo("a.png", low=1, high=4)
    assert main(["scene", "a.png"]) == 2
    err = capsys.readouterr().err
    assert "fake gives inverse_depth of unknown scale" in err and "--near" in err
    assert main(["scene", "a.png", "--near", "1", "--far", "4", "--edge-angle=0"]) == 0
    z = trimesh.load("scene_out/a_mesh.glb", force="mesh").vertices[:, 2]
    np.testing.assert_allclose(sorted(set(np.round(-z, 4))), [1, 1.3333, 2, 4])
    points = ["--point", "0,0,8", "--point", "29,0,2", "--edge-angle=0"]
    assert main(["scene", "a.png", *points]) == 0
    z = trimesh.load("scene_out/a_mesh.glb", force="mesh").vertices[:, 2]
    np.testing.assert_allclose(sorted(set(np.round(-z, 4))), [2, 2.6667, 4, 8])
    # Two eyes need no metres.
    assert main(["scene", "a.png", "--format", "stereo,anaglyph"]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--near", "1"], "--near and --far go together"),
        (["--near", "1", "--far", "2", "--point", "0,0,1"], "not both"),
        (["--near", "1", "--far", "2"], "gives metres itself"),
        (["b.png", "--point", "0,0,1"], "in one photo, but 2 were given"),
        (["--focal", "x"], "'x' is not a number"),
        (["--intrinsics", "1,2,3"], "is not 4 numbers with commas between"),
        (["--format", "stl"], "'stl' is unknown; known: glb, "),
        (["--triangles", "0"], "--triangles"),
        (["--focal", "1", "--fov", "2"], "not allowed with"),
        (["--near", "2", "--far", "1"], "must be 0 < near < far metres"),
        (["--focal=-5"], "must be pixels above 0"),
        (["--intrinsics", "1,0,3,3"], "must be pixels above 0"),
        (["--fov", "200"], "--fov must be between 0 and 180"),
        (["--max-depth", "nan"], "--max-depth must be metres above 0"),
        (["--edge-angle", "90"], "--edge-angle must be from 0 to below 90"),
        (["--max-points", "2"], "--max-points must be 4 or more"),
        (["--parallax", "50"], "--parallax must be above 0"),
    ],
)
def test_wrong_usage(fake, capsys, words, sentence):
    photo("a.png")
    photo("b.png")
    assert main(["scene", "a.png", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_photo_without_surface_fails_alone(fake, capsys):
    photo("in/a.png")
    photo("in/b.png", low=0, high=0)
    assert main(["scene", "in", "--fov", "60"]) == 1
    err = capsys.readouterr().err
    assert "'in/b.png': no surface is left" in err
    assert Path("scene_out/a_mesh.glb").exists()
    assert not Path("scene_out/b_mesh.glb").exists()
