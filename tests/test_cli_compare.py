"""`jax-depth compare`: files, words, failures, and the page in a browser."""

import csv
import json
import os
import re
import shutil

import jax
import numpy as np
import pytest
from chromium import browse, needs_browser, served
from PIL import Image
from small_models import METRIC_SWIGLU

from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.inference.estimator import load
from jax_depth.models.initialize import init
from jax_depth.study import models as study_models
from jax_depth.study import run as study_run
from jax_depth.study.edits import scale_last_layer
from jax_depth.study.models import is_photos

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

FILES = {"report.html", "study.json", "ranges.csv", "agreement.csv"}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Return a folder with photos, one of them broken, and a metric model."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "photos").mkdir()
    i, j = np.mgrid[:60, :80]
    for k in range(2):
        wave = 127 + 100 * np.sin(i / (5 + k))[..., None] * np.cos(j / 9)[..., None]
        rgb = np.repeat(wave, 3, axis=2).astype(np.uint8)
        Image.fromarray(rgb).save(folder / f"photos/wave <{k}>.png")
    (folder / "photos/broken.jpg").write_bytes(b"not a picture")
    checkpoint.save(
        folder / "metres", init(METRIC_SWIGLU, jax.random.key(1)), METRIC_SWIGLU
    )
    return folder


@pytest.fixture(scope="module")
def report(work):
    """Run the command as the README has it, with three models; return its folder."""
    words = ["compare", "--models", "tiny", "random:tiny", str(work / "metres")]
    words += [str(work / "photos"), "-o", str(work / "report"), "--size", "48"]
    assert main(words) == 1  # one photo is broken
    return work / "report"


@pytest.mark.long
def test_it_writes_a_page_json_and_csv(report):
    assert {path.name for path in report.iterdir()} == FILES
    study = json.loads((report / "study.json").read_text())
    assert list(study["models"]) == ["tiny", "random:tiny", "metres"]
    assert study["models"]["metres"]["kind"] == "metric_depth"
    assert [p["name"] for p in study["pictures"]] == ["wave <0>.png", "wave <1>.png"]
    rows = list(csv.DictReader((report / "ranges.csv").read_text().splitlines()))
    assert len(rows) == 6 and rows[2]["unit"] == "m"
    pairs = list(csv.DictReader((report / "agreement.csv").read_text().splitlines()))
    assert len(pairs) == 2 * 6


@pytest.mark.long
def test_the_ranges_are_those_of_the_estimator(report, work):
    rows = csv.DictReader((report / "ranges.csv").read_text().splitlines())
    row = next(row for row in rows if row["model"] == "tiny")
    depth = load("tiny", size=48)(work / "photos" / row["picture"])
    for name, value in (
        ("minimum", depth.values.min()),
        ("median", np.median(depth.values)),
        ("p98", np.percentile(depth.values, 98)),
        ("maximum", depth.values.max()),
    ):
        # Another program of the same network rounds otherwise.
        np.testing.assert_allclose(float(row[name]), value, rtol=1e-4)


@pytest.mark.long
def test_the_verdict_is_computed(report):
    study = json.loads((report / "study.json").read_text())
    assert study["verdict"][0].startswith("Token norm cannot reach")
    told = " ".join(study["verdict"])
    assert "tiny: the last layer times 8 " in told
    assert "metres: the last layer times 8" in told and "no free range" in told
    assert "tiny is a hybrid" in told
    loss = {o["name"]: o["loss"] for o in study["experiments"]["tiny"]}
    assert loss["last layer × 8"] == loss["unchanged"]


@pytest.mark.long
def test_the_page_holds_all_it_needs(report):
    page = (report / "report.html").read_text()
    assert not re.search(r"https?:|src=\"(?!data:)|<script|@import|url\(", page)
    assert "wave &lt;0&gt;.png" in page and "wave <0>" not in page
    assert page.count("data:image/") == 2 * (1 + 3 + 1) + 2 * (1 + 3)
    for anchor in re.findall(r'href="#(\w+)"', page):
        assert f'id="{anchor}"' in page
    for name in ("broken.jpg",):
        assert name not in page  # unreadable before any model saw it


@pytest.mark.long
@needs_browser
def test_a_browser_asks_for_nothing_else(report, tmp_path):
    with served(report) as (address, asked):
        page, log = browse(f"{address}/report.html", tmp_path / "p", "--dump-dom")
    assert asked == ["/report.html"]
    assert "CONSOLE" not in log and "ERR_" not in log
    assert "</html>" in page


@pytest.mark.long
@needs_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_a_phone_and_a_desk(report, tmp_path, width):
    # Headless windows are at least 500 pixels wide; frames are not.
    (tmp_path / "report.html").write_bytes((report / "report.html").read_bytes())
    (tmp_path / "index.html").write_text(
        f"<title>?</title><iframe width={width} height=900 src=report.html onload="
        "'document.title=contentDocument.documentElement.scrollWidth'></iframe>"
    )
    with served(tmp_path) as (address, _):
        dom, _ = browse(f"{address}/index.html", tmp_path / "p", "--dump-dom")
    found = re.search(r"<title>(\d+)</title>", dom)
    assert found is not None and int(found[1]) <= width


def test_words_that_are_photos(work, monkeypatch):
    monkeypatch.chdir(work)
    for word in ("photos", "photos/broken.jpg", "photos/*.png"):
        assert is_photos(word), word
    for word in ("tiny", "vits", "metres", "random:tiny", "depth-anything-v2-smal"):
        assert not is_photos(word), word
    assert not is_photos("depth-anything-v2-small=weights.pth")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--models", "tiny"], "follows --models (tiny) was taken for models"),
        (["--models", "tiny", "gone.jpg"], "'gone.jpg' does not exist"),
        (["--models", "photos"], "give at least one model"),
        (["--models", "tinny", "photos"], "did you mean tiny"),
        (["--models", "random:x", "photos"], "'x'; see `jax-depth models`"),
        (["--models", "dinov2-small", "photos"], "dinov2-small"),
        (["--models", "tiny", "photos", "--show", "0"], "--show 0 is too few"),
        (["--models", "tiny", "photos", "-o", "photos"], "also searched for photos"),
        (["photos"], "required: --models"),
    ],
)
def test_wrong_usage(work, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(work)
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(work / "cache"))
    assert main(["compare", *words]) in (1, 2)
    assert sentence in capsys.readouterr().err


def test_no_picture_no_report(work, monkeypatch, capsys):
    monkeypatch.chdir(work)
    words = ["compare", "photos/broken.jpg", "--models", "tiny", "-o", "none"]
    assert main([*words, "--json"]) == 1
    out, err = capsys.readouterr()
    assert "broken.jpg" in err
    document = json.loads(out)
    assert document["error"] == "no photo could be compared"
    assert "broken.jpg" in document["failed"][0]
    assert not list((work / "none").iterdir())


def test_a_name_that_is_not_utf8_stands_in_the_report(work, monkeypatch):
    monkeypatch.chdir(work)
    photo = os.fsdecode(b"odd \xff.png")
    shutil.copy("photos/wave <0>.png", photo)
    words = ["compare", photo, "--models", "tiny", "--size", "48", "-o", "odd"]
    assert main(words) == 0
    study = json.loads((work / "odd/study.json").read_text())
    assert [p["name"] for p in study["pictures"]] == ["odd \\xff.png"]


def test_an_interrupted_study_is_reported(work, monkeypatch, capsys):
    whole = study_run.run

    def stopped(*args):
        yield next(whole(*args))
        raise KeyboardInterrupt

    monkeypatch.chdir(work)
    monkeypatch.setattr(study_run, "run", stopped)
    words = ["compare", "photos", "--models", "tiny", "--size", "48", "-o", "part"]
    assert main(words) == 130
    assert "the report holds what was done" in capsys.readouterr().err
    study = json.loads((work / "part/study.json").read_text())
    assert [p["name"] for p in study["pictures"]] == ["wave <0>.png"]


def test_one_model_that_says_nothing_is_reported(work, monkeypatch, capsys):
    """A constant map has no range to compare; the page says so."""
    monkeypatch.chdir(work)
    flat = load("tiny", size=48)
    flat._engine.params = scale_last_layer(flat.params, 0.0)
    monkeypatch.setattr(study_models, "open_models", lambda *_, **__: {"flat": flat})
    words = ["compare", "photos/wave <0>.png", "--models", "flat", "-o", "flat"]
    assert main(words) == 0
    page = (work / "flat/report.html").read_text()
    assert "the map is constant (0 everywhere)" in page
    assert "flat could not be edited" in page
