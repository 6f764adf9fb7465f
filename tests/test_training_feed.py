"""What a run takes of a sample, and of which it takes nothing: depth in range."""

import numpy as np
import pytest
from training_run import recipe

from jax_depth.data import Loader, SampleError
from jax_depth.data.loader import TooManyUnreadable
from jax_depth.data.sample import labelled_sample
from jax_depth.training import held_out
from jax_depth.training.feed import TrainingRows
from jax_depth.training.recipes import RECIPES
from jax_depth.training.shapes import Shapes
from jax_depth.training.start import model_config

METRIC = ("model.kind=metric_depth", "model.max_depth=20", "loss.main=silog")
FINETUNE = RECIPES["finetune"]


def metres(values, name="a.png"):
    rgb = np.zeros((*values.shape, 3), np.uint8)
    return labelled_sample(rgb, values, "metric_depth", "m", name)


class WrongUnit(Shapes):
    """Millimetres that are declared metres."""

    def _read(self, index):
        return metres(np.full((30, 40), 2300.0, np.float32), self.names[index])


def test_a_sample_out_of_range_is_refused_and_ends_the_run():
    rows = TrainingRows(FINETUNE)
    sentence = r"no depth between 0\.001 and 20 m \(median 2300 m\): check .*unit"
    with pytest.raises(SampleError, match=f"train/00000: {sentence}"):
        rows(WrongUnit()[0], np.random.default_rng(0))
    loader = Loader([WrongUnit()], rows, batch_size=2, seed=0)
    with pytest.raises(TooManyUnreadable, match=f"20 samples in a row .*{sentence}"):
        loader.batch(0)


def test_a_crop_without_depth_is_none_of_that():
    values = np.full((518, 2000), 50.0, np.float32)
    values[0, 0] = 3
    masks = [
        TrainingRows(FINETUNE)(metres(values), np.random.default_rng(seed))[
            "mask"
        ].any()
        for seed in range(4)
    ]
    assert not all(masks)


def test_held_out_pictures_of_which_none_counts_are_said(monkeypatch):
    config = model_config(recipe(*METRIC))

    def predict(params, config, rgb, side):
        return np.ones(rgb.shape[:2], np.float32)

    monkeypatch.setattr(held_out, "predict", predict)
    said = []
    arguments = {}, config, WrongUnit(count=5), 3, 28, 1e-3, said.append
    metrics, _ = held_out.evaluate_held_out(*arguments)
    assert metrics == {"images": 0, "unreadable": 0}
    assert len(said) == 1 and said[0].startswith("none of 3 held-out pictures")
    assert "train/00004: no depth between 0.001 and 20 m (median 2300 m)" in said[0]


def test_the_limit_of_unusable_samples_is_a_setting():
    settings = recipe("data.unreadable_limit=4", *METRIC)
    loader = Loader(
        [WrongUnit(count=30)],
        TrainingRows(settings),
        batch_size=2,
        seed=0,
        unreadable_limit=settings.data.unreadable_limit,
    )
    with pytest.raises(TooManyUnreadable, match=r"limit of 4; .*unreadable_limit"):
        loader.batch(0)
