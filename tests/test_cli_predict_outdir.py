"""Where results of `jax-depth predict` cannot go: folders, full disks, inputs."""

import errno
import json
import os

import cv2
import numpy as np
import pytest
from fake_estimator import listing, photo, put_in_place

from jax_depth.cli import pipeline, predict
from jax_depth.cli.main import main


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Put a fake model in place of every other, and work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return put_in_place(monkeypatch, predict)


@pytest.mark.parametrize(
    ("outdir", "sentence"),
    [
        ("a.png", "-o 'a.png': "),
        ("depth.PNG", "-o 'depth.PNG': "),
        ("a.png/below", "'a.png/below' cannot be written to: "),
        ("/dev/null/below", "'/dev/null/below' cannot be written to: "),
    ],
)
def test_output_folders_that_cannot_be(fake, capsys, outdir, sentence):
    photo("a.png")
    assert main(["predict", "a.png", "-o", outdir, "--json"]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert sentence in err and sentence in json.loads(out)["error"]
    assert fake.loads == []


def test_a_read_only_output_folder(fake, capsys, monkeypatch):
    photo("a.png")
    os.makedirs("locked")
    # As root, permissions stop nobody, so the refusal is played.
    refusal = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("pathlib.Path.touch", _raiser(refusal))
    assert main(["predict", "a.png", "-o", "locked"]) == 2
    err = capsys.readouterr().err
    assert "'locked' cannot be written to: Permission denied" in err


def _raiser(error):
    def refuse(*_, **__):
        raise error

    return refuse


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_stops_early(fake, capsys, monkeypatch, number):
    for k in range(40):
        photo(f"in/{k:02}.png", k)
    written = []

    def save(depth, path, name):
        if len(written) == 5:
            raise OSError(number, os.strerror(number), str(path))
        written.append(path)

    monkeypatch.setattr(pipeline.outputs, "save", save)
    assert main(["predict", "in", "--format", "npy", "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(written) == 5
    assert sum(fake.batches) < 20
    assert err.count("\n") == 1
    assert "'in/05.png': cannot write 'depth_out/05_depth.npy'" in err
    assert os.strerror(number) in err
    assert "run it again with --skip-existing" in err
    document = json.loads(out)
    assert len(document["written"]) == 5 and os.strerror(number) in document["error"]


def test_one_file_that_cannot_be_written_is_one_failure(fake, capsys):
    for name in ("a.png", "b.png"):
        photo(name)
    os.makedirs("depth_out/a_depth.npy")
    assert main(["predict", "a.png", "b.png", "--format", "npy"]) == 1
    err = capsys.readouterr().err
    assert "jax-depth: 'a.png': cannot write 'depth_out/a_depth.npy': " in err
    assert os.path.isfile("depth_out/b_depth.npy")
    assert listing() == ["b_depth.npy"]


def test_results_that_would_overwrite_an_input(fake, capsys):
    photo("a.png")
    before = photo("a_depth.png", 1)
    assert main(["predict", "a.png", "a_depth.png", "-o", "."]) == 1
    err = capsys.readouterr().err
    assert "'a.png': its result 'a_depth.png' would overwrite" in err
    np.testing.assert_array_equal(cv2.imread("a_depth.png")[..., ::-1], before)
