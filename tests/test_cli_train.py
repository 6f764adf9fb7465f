"""`jax-depth train`: what it prints, its exit codes, users' mistakes."""

import json

import numpy as np
import pytest
from PIL import Image

from jax_depth.cli.main import main
from jax_depth.training import overrides
from jax_depth.training.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("as_installed", "cheap_programs")


def test_show_prints_every_setting_with_its_source(capsys):
    changes = ["--set", "data.batch=96", "--init", "tiny"]
    assert main(["train", "v2-student", "--show", *changes]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "data.batch = 96  # changed by --set" in lines
    assert (
        "run.steps = 480000  # Depth Anything V2, arXiv:2406.09414, section 7.1"
        in lines
    )
    assert "optimizer.weight_decay = 0.01  # not published: our choice" in lines
    assert "model.init = 'tiny'  # changed by --init" in lines


def test_show_tells_what_a_saved_recipe_changed(capsys, tmp_path):
    saved = overrides.override(RECIPES["v2-student"], ["data.batch=96"])
    (tmp_path / "recipe.json").write_text(overrides.to_json(saved))
    words = ["train", str(tmp_path / "recipe.json"), "--show", "--json"]
    assert main([*words, "--set", "run.seed=3"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["data.batch"] == {"value": 96, "source": "changed"}
    assert shown["run.seed"] == {"value": 3, "source": "changed by --set"}
    assert shown["run.keep"]["source"] == "not published: our choice"


def pairs(folder):
    """Write one pair of a picture and metres; return how to open it."""
    for name in ("images", "depth"):
        (folder / "own" / name).mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(folder / "own/images/a.png")
    np.save(folder / "own/depth/a.npy", np.full((30, 40), 3.0, np.float32))
    return "pairs:own?kind=metric_depth&unit=m"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["v2-studnt"], 2, "did you mean 'v2-student'"),
        (["smoke"], 2, "--workdir says where the run goes"),
        (["tiny", "--workdir", "W"], 2, "nothing to train on; give --data"),
        (["v2-student", "--workdir", "W", "--data", "P"], 2, "give --pseudo labels:"),
        (["smoke", "--workdir", "W", "--data", "unlabelled:own"], 2, "label own -o"),
        (["smoke", "--workdir", "own/images/a.png"], 2, "a.png is a file; give anot"),
        (["smoke", "--set", "a=1"], 2, "no setting is called 'a'"),
        (["smoke", "--workdir", "W", "--process", "1"], 2, "go together"),
        (["smoke", "--workdir", "W", "--set", "data.size=30"], 2, "use 28"),
        (["smoke", "--workdir", "W", "--data", "pairs:none.csv"], 2, "none.csv"),
        (["smoke", "--workdir", "W", "--held-out", "pairs:no.csv"], 2, "no.csv"),
        (["smoke", "--workdir", "W", "--init", "smal"], 2, "'smal'; "),
        (["smoke", "--workdir", "gs://b/run"], 2, "gs://b/run is an address, not"),
        (["smoke", "--workdir", "W", "--data", "pairs:s3://b/x"], 2, "mount the store"),
        (["smoke", "--workdir", "W", "--init", "gs://b/x"], 2, "gs://b/x is an addr"),
        (["--resume", "own"], 2, "own: it holds no run, recipe.json is missing"),
        (["--resume", "own", "--workdir", "W"], 2, "leave RECIPE and --workdir out"),
        ([], 2, "name a recipe"),
        (["smoke", "--eval-only", "--workdir", "W"], 2, "W holds no checkpoint"),
        (
            ["smoke", "--workdir", "W", "--set", "optimizer.warmup=300"],
            2,
            "optimizer.warmup=300 is not shorter than the run, run.steps=300",
        ),
    ],
)
def test_a_mistake_is_one_sentence(words, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair = pairs(tmp_path)
    words = [pair if word == "P" else word for word in words]
    assert main(["train", *words]) == code
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("jax-depth: train: ") and message in errors
    assert "\n" not in errors and len(errors) < 600


@pytest.mark.long
def test_a_run_saves_its_recipe_which_is_a_recipe(capsys, tmp_path):
    workdir = tmp_path / "run"
    small = ["data.size=28", "run.steps=2", "run.evaluate_images=2", "run.log_every=1"]
    words = [word for change in small for word in ("--set", change)]
    assert main(["train", "smoke", "--workdir", str(workdir), *words]) == 0
    assert "2 steps; jax-depth predict" in capsys.readouterr().out
    file = str(workdir / "recipe.json")
    assert main(["train", file, "--workdir", str(workdir)]) == 0
    assert main(["train", file, "--show"]) == 0
    assert "run.steps = 2 " in capsys.readouterr().out
