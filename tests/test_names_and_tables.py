"""What names and fields may do to terminals, spreadsheets, folders and readers."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest

from jax_depth.cli.main import main
from jax_depth.cli.photos import find_photos
from jax_depth.data import DatasetError, open_dataset
from jax_depth.data.labels import read_part
from jax_depth.evaluation.da2k import DA2K
from jax_depth.evaluation.report import csv_text
from jax_depth.formats.atomic import atomic
from jax_depth.formats.folders import photo_names
from jax_depth.formats.printable import printable
from jax_depth.outputs.calibration import RangeCalibration
from jax_depth.training import overrides


@pytest.mark.parametrize("begin", "=+-@\t\r")
def test_no_cell_is_a_formula(begin):
    text = csv_text([{"name": f"{begin}cmd|' /C calc'!A0", "d1": -0.5}])
    row = text.splitlines()[1] if begin != "\r" else text.split("\n", 1)[1]
    assert row.lstrip('"').startswith(f"'{begin}") and "-0.5" in row
    assert "'-0.5" not in text


EVIL = "a\x1b]0;owned\x07\x1b[2J\r\n\x9b\u202eb.jpg"


@pytest.mark.parametrize(
    "words",
    [
        ["predict", EVIL],
        ["predict", "a.jpg", f"--{EVIL}"],
        ["predict", "a.jpg", "--size", EVIL],
        ["views", EVIL],
        ["convert", EVIL, "--to", "x"],
        ["eval", "da-2k", "--data", EVIL],
        ["label", EVIL],
        [EVIL],
    ],
)
def test_control_characters_never_reach_the_terminal(words, tmp_path, capfd):
    assert main([*words, "-o", str(tmp_path / EVIL[:-4])]) != 0
    out, err = capfd.readouterr()
    assert not set("\x1b\x07\x9b\u202e") & set(out + err)
    assert "\\x1b" in err


def test_what_the_system_says_is_a_sentence(monkeypatch, capsys):
    def refuse(_):
        raise PermissionError(13, "Permission denied", "folder/model.pth")

    monkeypatch.setattr("jax_depth.cli.convert.run", refuse)
    assert main(["convert", "model.pth", "--to", "x"]) == 1
    sentence = "jax-depth: convert: 'folder/model.pth': Permission denied\n"
    assert capsys.readouterr().err == sentence


def test_names_that_the_terminal_has_no_letters_for(tmp_path, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert main(["predict", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "ö東")]) == 1
    out.flush()
    assert b"\\xf6\\u6771" in out.buffer.getvalue()


def test_names_are_shown_as_they_are():
    assert printable("Straße 東京.jpg") == "Straße 東京.jpg"
    assert printable("a\nb", "\n") == "a\nb"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "image,depth\na.png," + "d" * 200_000 + "\n"),
        ("m.csv", "image," + "d" * 200_000 + "\n"),
        ("m.jsonl", "[" * 100_000),
        ("m.jsonl", '{"image": ' * 50_000),
        ("m.jsonl", '{"image": "a", "depth": "b", "fx": ' + "9" * 400 + "}"),
        ("m.jsonl", '{"image": "a", "depth": "b", "fx": ' + "9" * 5000 + "}"),
        ("m.jsonl", '{"image": "a", "depth": "b", "fx": Infinity}'),
        ("m.csv", "image,depth,fx\na,b," + "9" * 400 + "\n"),
    ],
    ids=range(8),
)
def test_manifests(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DatasetError) as error:
        open_dataset(f"pairs:{path}")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("range.json", RangeCalibration.load),
        ("labels.jsonl", read_part),
        ("annotations.json", lambda path: DA2K(path.parent)),
        ("recipe.json", lambda path: overrides.from_json(path.read_text())),
    ],
)
def test_json_that_is_nested_too_deeply(tmp_path, name, read):
    (tmp_path / name).write_text(f"{DEEP}\n{DEEP}\n")
    with pytest.raises((ValueError, DatasetError)) as error:
        read(tmp_path / name)
    assert "deep" in str(error.value) and "\n" not in str(error.value)


def test_a_pipe_as_manifest(tmp_path):
    os.mkfifo(tmp_path / "m.csv")
    for text in ("pairs:{}", "labels:{}", f"kitti:{_drive(tmp_path)}?files={{}}"):
        with pytest.raises(DatasetError, match=r"m\.csv.*pipe"):
            open_dataset(text.format(tmp_path / "m.csv"))


def _drive(root):
    """Make a folder of KITTI with one frame, of which only the names count."""
    drive = "2011_09_26_drive_0001_sync"
    depth = root / "train" / drive / "proj_depth/groundtruth/image_02/0000000005.png"
    photo = root / "2011_09_26" / drive / "image_02/data/0000000005.png"
    for path in (depth, photo):
        path.parent.mkdir(parents=True)
        path.touch()
    return root


_KILLED = """
import os, sys
from jax_depth.formats.atomic import atomic
from jax_depth.outputs.calibration import RangeCalibration
from jax_depth.training import overrides
with atomic(sys.argv[1]) as path:
    path.write_bytes(b"half")
    print("there", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    target = tmp_path / "x.bin"
    run = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert run.stdout is not None and run.stdout.readline() == b"there\n"
    (left,) = tmp_path.iterdir()
    other = subprocess.run(  # of a run that goes on nothing is taken
        [sys.executable, "-c", _KILLED, str(tmp_path / "y.bin")], input=b"", check=True
    )
    assert other.returncode == 0 and left.exists()
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert left.exists() and not target.exists()
    with atomic(target) as path:
        path.write_bytes(b"whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.bin", "y.bin"]


def test_a_list_of_photos_with_a_nul_in_it(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\nb\0.jpg\nc.jpg\n")
    photos, problems = find_photos([str(tmp_path / "list.txt")], tmp_path / "out")
    assert [str(photo.path) for photo in photos] == ["a.jpg", "c.jpg"]
    assert [problem.name for problem in problems] == ["b\0.jpg"]
    assert "\\x00" in problems[0].sentence


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").touch()
    listed = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    names, left_out = photo_names(tmp_path)
    (sentence,) = left_out
    assert names == ["a.png"]
    assert str(tmp_path / "closed") in sentence and "Permission denied" in sentence


def test_json_stays_json(tmp_path, capsys):
    assert main(["predict", str(tmp_path / "a\x1b.jpg"), "--json"]) != 0
    json.loads(capsys.readouterr().out)
