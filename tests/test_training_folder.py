"""What a run's folder says when the same command is another one."""

import re

import numpy as np
import pytest
from PIL import Image
from training_run import recipe, run

from jax_depth.data import open_dataset
from jax_depth.training import record
from jax_depth.training.feed import PseudoLabelled
from jax_depth.training.overrides import to_json
from jax_depth.training.shapes import Shapes

METRIC = ("model.kind=metric_depth", "model.max_depth=20", "loss.main=silog")

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.mark.parametrize(
    ("before", "key"),
    [
        (("model.frozen=head",), "model.frozen"),
        (("model.lora_rank=2",), "model.lora_rank"),
        (("optimizer.accumulate=2",), "optimizer.accumulate"),
        (METRIC, "model.kind"),
    ],
)
def test_a_run_of_another_shape_is_not_continued(tmp_path, before, key):
    (tmp_path / "recipe.json").write_text(to_json(recipe(*before)))
    sentence = rf"holds a run with {key}=.*; give another --workdir"
    with pytest.raises(ValueError, match=sentence):
        run(tmp_path)


def test_a_run_of_another_range_is_not_continued(tmp_path):
    (tmp_path / "recipe.json").write_text(to_json(recipe(*METRIC)))
    with pytest.raises(ValueError, match=r"with model\.max_depth=20\.0, not 80\.0"):
        run(tmp_path, *METRIC, "model.max_depth=80")


def test_a_broken_recipe_in_the_folder_is_named(tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    sentence = rf"{re.escape(str(tmp_path))}/recipe\.json: the recipe is not JSON.*"
    with pytest.raises(ValueError, match=sentence + "restore it or give another --wor"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("file", "is a file; give another folder"), ("file/run", "cannot be made")],
)
def test_a_folder_that_cannot_be_is_named(tmp_path, name, sentence):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=f"--workdir .*{name} {sentence}"):
        run(tmp_path / name)


def described(tmp_path, options="", weights=None, judge=""):
    data = open_dataset(f"pairs:{tmp_path}?kind=metric_depth{options}")
    judged = open_dataset(f"pairs:{tmp_path}?kind={judge}") if judge else None
    return record.described([data, PseudoLabelled(data)], weights, judged)


def test_what_the_data_were_is_written_and_compared(tmp_path):
    for name in ("images", "depth"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images" / "a.png")
    np.save(tmp_path / "depth" / "a.npy", np.ones((3, 4)))
    first = described(tmp_path, "&unit=m", judge="depth")
    opened = f"pairs:{tmp_path}?kind=metric_depth&unit=m (1 samples)"
    assert first.splitlines() == [
        opened,
        f"pseudo {opened}",
        "weights None",
        f"held-out pairs:{tmp_path}?kind=depth (1 samples)",
    ]
    settings = recipe()
    record.write(tmp_path, settings, first)
    assert record.changes_since(tmp_path, settings, first) == []
    other = described(tmp_path, "&unit=mm", judge="depth")
    (note,) = record.changes_since(tmp_path, settings, other)
    assert note.startswith("the data changed")
    other = described(tmp_path, "&unit=m")
    (note,) = record.changes_since(tmp_path, settings, other)
    assert note.startswith("the held-out pictures changed")
    # As an earlier version wrote it: one note, and no word of what it did not hold.
    (tmp_path / "data.txt").write_text(f"pairs:{tmp_path} (1 samples)\nweights None\n")
    assert len(record.changes_since(tmp_path, settings, first)) == 1


def test_data_that_were_made_in_python_have_a_line_too():
    text = record.described([Shapes()], [1.0], None)
    assert text == "shapes:shapes (4096 samples)\nweights [1.0]\nheld-out none\n"
