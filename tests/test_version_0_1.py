"""What version 0.1 wrote, as it wrote it: a model, recipes, a run and an evaluation.

`golden/version_0_1` was made by that version's own code.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import jax_depth
from jax_depth.evaluation.records import Records
from jax_depth.training import overrides
from jax_depth.training.recipes import RECIPES

GOLDEN = Path(__file__).parent / "golden" / "version_0_1"


def test_a_model_folder_loads_and_predicts():
    estimator = jax_depth.load(str(GOLDEN / "model"), size=28)
    config = estimator.config
    assert (config.name, config.head.activation) == ("of-0.1", "relu")
    # Fields that it did not know stand for what it did.
    assert (config.resample, config.restore) == ("original", "aligned")
    depth = estimator(np.zeros((30, 40, 3), np.uint8))
    assert depth.values.shape == (30, 40) and depth.kind == "inverse_depth"


def test_a_saved_recipe_is_that_recipe():
    text = (GOLDEN / "run" / "recipe.json").read_text()
    read = overrides.from_json(text)
    changed = [
        *("data.size=28", "data.batch=8", "run.steps=2", "run.save_every=1"),
        *("optimizer.warmup=0", "run.evaluate_images=2", "run.log_every=1"),
        "optimizer.schedule=constant",
    ]
    today = overrides.override(RECIPES["smoke"], changed)
    assert json.loads(text) != json.loads(overrides.to_json(today))  # it is older
    assert read == today


def test_an_evaluation_goes_on(tmp_path):
    path = shutil.copy(GOLDEN / "eval" / "records-0000.jsonl", tmp_path)
    settings = json.loads(Path(path).read_text().splitlines()[0])["settings"]
    assert "restore" not in settings
    records = Records(tmp_path, settings | {"restore": "aligned"})
    assert sorted(records.judged()) == [0, 1, 2]
    # Its numbers are not those of a model whose maps come back another way today.
    with pytest.raises(ValueError, match=r"restore 'aligned' where .* 'half_pixel'"):
        Records(tmp_path, settings | {"restore": "half_pixel"}, process=1)
