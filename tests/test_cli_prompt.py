"""`jax-depth predict --prompt`, and the other commands with a model that needs it."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image
from small_models import PROMPT

import jax_depth
from jax_depth import checkpoint
from jax_depth.cli.main import main
from jax_depth.models.initialize import init

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

CONFIG = dataclasses.replace(
    PROMPT, name="toy", resample="shrink_area", restore="half_pixel", image_size=56
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "toy"
    checkpoint.save(folder, init(CONFIG, jax.random.key(0)), CONFIG)
    return str(folder)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("photos/a.jpg", "photos/b.png", "photos/in/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        pixels = rng.integers(0, 256, (45, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    for name in ("lidar/a.png", "lidar/b.png", "lidar/in/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        millimetres = rng.integers(500, 6000, (9, 12)).astype(np.uint16)
        Image.fromarray(millimetres).save(tmp_path / name)
    return tmp_path


def _predict(model, *words):
    options = ["--model", model, "--format", "npy", "-o", "out", "--quiet"]
    return main(["predict", *words, *options])


def test_one_photo_and_its_prompt(work, model):
    assert _predict(model, "photos/a.jpg", "--prompt", "lidar/a.png") == 0
    (file,) = (work / "out").glob("a*.npy")
    expected = jax_depth.load(model).prompted("photos/a.jpg", "lidar/a.png")
    np.testing.assert_allclose(np.load(file), expected.values, atol=1e-5)
    assert 0.5 <= expected.values.min() and expected.values.max() <= 6


def test_a_unit_may_be_given(work, model, capsys):
    np.save(work / "mm.npy", np.asarray(Image.open(work / "lidar/a.png")))
    words = ("photos/a.jpg", "--prompt", "mm.npy")
    assert _predict(model, *words) == 1
    assert "unit='mm' (--prompt-unit" in capsys.readouterr().err
    assert _predict(model, *words, "--prompt-unit", "mm") == 0
    (file,) = (work / "out").glob("a*.npy")
    expected = jax_depth.load(model).prompted("photos/a.jpg", "lidar/a.png")
    np.testing.assert_allclose(np.load(file), expected.values, atol=1e-5)


def test_folders_are_matched_by_name_and_missing_partners_named(work, model, capsys):
    assert _predict(model, "photos", "--prompt", "lidar") == 0
    assert len(list((work / "out").rglob("*.npy"))) == 3
    assert capsys.readouterr().err == ""

    (work / "lidar/b.png").rename(work / "lidar/d.png")
    np.save(work / "lidar/in/c.npy", np.ones((3, 4)))
    options = ["--model", model, "--format", "npy", "-o", "out2", "--json"]
    assert main(["predict", "photos", "--prompt", "lidar", *options]) == 1
    seen = capsys.readouterr()
    failed = {row["name"]: row["sentence"] for row in json.loads(seen.out)["failed"]}
    words = {
        "lidar/d.png": "no photo",
        "photos/b.png": "'lidar/b.*'",
        "photos/in/c.jpg": "c.npy and c.png",
    }
    assert failed.keys() == words.keys()
    for name, part in words.items():
        assert failed[name].startswith(f"'{name}' ") and part in failed[name]
    (file,) = (work / "out2").rglob("*.npy")
    assert file.name.startswith("a")


def test_a_prompt_that_is_none_fails_its_photo_alone(work, model, capsys):
    Image.fromarray(np.zeros((9, 12), np.uint16)).save(work / "lidar/b.png")
    holes = np.asarray(Image.open(work / "lidar/a.png")).copy()
    holes[:3] = 0
    Image.fromarray(holes).save(work / "lidar/a.png")
    assert _predict(model, "photos", "--prompt", "lidar") == 1
    err = capsys.readouterr().err
    assert "'photos/b.png': 'lidar/b.png' is empty" in err
    assert "note: 'lidar/a.png': 36 of 108 values" in err
    assert len(list((work / "out").rglob("*.npy"))) == 2


def test_prompts_below_the_photos_are_no_photos(work, model):
    (work / "lidar").rename(work / "photos/lidar")
    assert _predict(model, "photos", "--prompt", "photos/lidar") == 0
    assert len(list((work / "out").rglob("*.npy"))) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["photos", "--prompt", "lidar/a.png"],
            "one depth map, and there are 3",
        ),
        (["photos", "--prompt", "photos"], "also holds the photos"),
        (["photos", "--prompt", "nowhere"], "'nowhere' does not exist"),
        (["photos", "--prompt", "empty"], "holds no depth maps"),
        (["photos", "--prompt-unit", "mm"], "goes with --prompt"),
        (["photos"], "jax-depth predict --prompt"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(words, sentence, work, model, capsys):
    (work / "empty").mkdir()
    assert _predict(model, *words) == 2
    err = capsys.readouterr().err
    assert sentence in err and "Traceback" not in err


def test_a_model_without_prompts_says_so(work, capsys):
    assert _predict("tiny", "photos/a.jpg", "--prompt", "lidar/a.png") == 2
    assert "'tiny' takes no prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["scene", "photos", "-o", "out"],
        ["calibrate", "photos", "-o", "range.json"],
        ["label", "photos", "-o", "labels"],
        ["views", "photos", "-o", "out"],
        ["video", "clip", "-o", "out"],
        ["bench"],
        ["app", "--port", "0"],
        ["export", "-o", "x.stablehlo"],
        ["export", "-o", "x.onnx"],
        ["export", "--executable", "-o", "programs"],
    ],
    ids=lambda words: "-".join(words[:3]),
)
def test_other_commands_end_in_a_sentence(command, work, model, capsys):
    (work / "clip").mkdir()
    for i in range(2):
        Image.open(work / "photos/a.jpg").save(work / f"clip/{i}.png")
    name, *words = command
    assert main([name, *words, "--model", model]) == 2
    err = capsys.readouterr().err
    assert "coarse depth map beside each photo" in err and "Traceback" not in err
    assert err.count("\n") == 1


def test_compare_and_eval_end_in_a_sentence(work, model, capsys):
    assert main(["compare", "photos", "--models", model, "-o", "out"]) == 2
    assert "coarse depth map beside each photo" in capsys.readouterr().err
    (work / "pairs/depth").mkdir(parents=True)
    (work / "photos").rename(work / "pairs/images")
    for name in ("a", "b", "in/c"):
        (work / f"pairs/depth/{name}.npy").parent.mkdir(exist_ok=True)
        np.save(work / f"pairs/depth/{name}.npy", np.ones((45, 60)))
    (work / "pairs/pairs.json").write_text('{"kind": "metric_depth", "unit": "m"}')
    assert main(["eval", "own", "--data", "pairs:pairs", "--model", model]) == 2
    assert "coarse depth map beside each photo" in capsys.readouterr().err
