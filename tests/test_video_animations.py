"""`jax-depth video`: numbered frames in, animated pictures out."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from clips import close, pictures, read_clip, stand_in, write_clip
from PIL import Image

from jax_depth.cli.main import main
from jax_depth.video.writing import VideoWriter


@pytest.fixture
def fake(monkeypatch, tmp_path):
    return stand_in(monkeypatch, tmp_path)


def test_frames_of_a_sequence_keep_their_numbers(fake):
    os.mkdir("shot")
    for k, picture in enumerate(pictures(4)):
        Image.fromarray(picture).save(f"shot/=render_{98 + k}.png")
    Path("shot/=render_99.png").write_bytes(b"broken")
    assert main(["video", "shot", "--format", "png16"]) == 1
    with open("depth_out/shot_depth/frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["000098.png", "000100.png", "000101.png"]
    assert [row["source"] for row in rows] == [
        f"'=render_{k}.png" for k in (98, 100, 101)
    ]
    assert [float(row["seconds"]) for row in rows] == [0, 0.08, 0.12]
    assert all(Path("depth_out/shot_depth", row["file"]).exists() for row in rows)


def test_frames_of_other_names_are_counted(fake):
    os.mkdir("shot")
    for name, picture in zip(("a1", "b1", "c"), pictures(3), strict=True):
        Image.fromarray(picture).save(f"shot/{name}.png")
    assert main(["video", "shot", "--format", "png16"]) == 0
    with open("depth_out/shot_depth/frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["000000.png", "000001.png", "000002.png"]
    assert [row["source"] for row in rows] == ["a1.png", "b1.png", "c.png"]


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animated_pictures_are_written(fake, suffix):
    """Each frame at its time, without an end, its odd size kept."""
    times, shown = [0, 100, 200, 500, 600], [100, 100, 300, 100]
    write_clip("a.mp4", pictures(5, size=(48, 64)), times=times, crf="1")
    assert main(["video", "a.mp4", "-o", "film.mp4", "--range", "0:255"]) == 0
    assert main(["video", "a.mp4", "-o", f"film.{suffix}", "--range", "0:255"]) == 0
    films, _ = read_clip("film.mp4")
    with Image.open(f"film.{suffix}") as image:
        assert image.n_frames == 5 and image.info["loop"] == 0
        delays = []
        for k, film in enumerate(films):
            image.seek(k)
            picture = np.asarray(image.convert("RGB"))
            close(picture, film, 8)
            delays.append(image.info["duration"])
    assert delays[:4] == shown
    assert main(["video", "a.mp4", "-o", f"b.{suffix}", "--codec", "h264"]) == 2


def test_an_animation_keeps_an_odd_size(tmp_path):
    picture = np.full((31, 45, 3), 90, np.uint8)
    for suffix in ("gif", "webp"):
        with VideoWriter(tmp_path / f"a.{suffix}", 10) as writer:
            writer.write(picture, 0.0)
            writer.write(255 - picture, 0.1)
        with Image.open(tmp_path / f"a.{suffix}") as image:
            assert image.size == (45, 31) and image.n_frames == 2
