"""Labels by Ray Data's actors are those of the command, bad photos counted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jax_depth import outputs
from jax_depth.cli.main import main

ROOT = Path(__file__).parent.parent


def label_with_ray(folder: Path) -> subprocess.CompletedProcess:
    script = ROOT / "examples" / "label_with_ray.py"
    words = ["photos", "labels", "--workers", "2", "--parts", "3"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(script), *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.long
def test_two_actors_label_a_folder_and_continue(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs ray[data]")
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in (ROOT / "examples").glob("*.jpg"):
        shutil.copy(photo, photos)
    (photos / "bad.jpg").write_bytes(b"no picture")
    done = label_with_ray(tmp_path)
    assert done.returncode == 1, done.stderr
    assert "3 of 4 labelled, 1 failed" in done.stdout
    assert "bad.jpg" in done.stderr
    maps = sorted(Path("labels/depth").glob("*.png"))
    assert len(maps) == 3
    times = [path.stat().st_mtime_ns for path in maps]

    # The photo is replaced, and the rest is not computed again.
    shutil.copy(photos / "cat.jpg", photos / "bad.jpg")
    done = label_with_ray(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 labelled, 0 failed" in done.stdout
    assert [path.stat().st_mtime_ns for path in maps] == times

    assert main(["label", "photos", "-o", "alone", "--quiet"]) == 0
    for path in Path("labels/depth").glob("*.png"):
        want = outputs.load(Path("alone/depth", path.name)).values
        np.testing.assert_array_equal(outputs.load(path).values, want)
