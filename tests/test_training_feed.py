"""What a run takes of a sample, and of which it takes nothing: depth in range."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from training_run import recipe

from jax_depth.data import Loader, SampleError
from jax_depth.data.loader import TooManyUnreadable
from jax_depth.data.sample import labelled_sample
from jax_depth.models.output import Output
from jax_depth.training import held_out, held_out_steps
from jax_depth.training.augment import draw
from jax_depth.training.feed import TrainingRows, target_of
from jax_depth.training.held_out_steps import Sizes, Steps
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


def flat(params, pixels, config):
    """A network that says 1 everywhere."""
    return Output(jnp.ones(pixels.shape[:3]))


class Shapely(Shapes):
    """Pictures of two usual shapes, and others of which there is one each."""

    def _read(self, index):
        height = 40 + 8 * index if index < 12 else (40, 60)[index % 2]
        values = np.linspace(1, 3, height * 40, dtype=np.float32).reshape(height, 40)
        return metres(values, self.names[index])


def test_held_out_pictures_share_devices_and_few_programs(monkeypatch):
    config = model_config(recipe(*METRIC))
    seen, said = [], []

    def network(params, pixels, config):
        seen.append((pixels.shape, len(pixels.sharding.device_set)))
        return flat(params, pixels, config)

    monkeypatch.setattr(held_out_steps, "_apply", network)
    arguments = {}, config, Shapely(count=24), 24, 140, 1e-3, said.append
    metrics, _ = held_out.evaluate_held_out(*arguments)
    assert metrics["images"] == 24
    shapes = {shape for shape, _ in seen}
    assert {(8, 140, 140, 3), (8, 210, 140, 3)} < shapes and len(shapes) == 8
    assert {devices for _, devices in seen} == {8} and len(seen) <= 12
    (note,) = said
    assert "5 of 24 held-out pictures are stretched" in note
    # Found out once; the same on any number of devices.
    again, _ = held_out.evaluate_held_out(*arguments, None, jax.devices()[:1])
    assert again == metrics and len(said) == 1
    assert {shape[1:] for shape, _ in seen} == {shape[1:] for shape in shapes}


def test_a_size_that_is_not_kept_becomes_the_nearest_of_those_that_are():
    sizes = Sizes([(28, 28), (28, 28), *((28, 28 + 14 * n) for n in range(1, 12))])
    assert sizes.kept[0] == (28, 28) and len(sizes.kept) == Sizes.MOST
    assert sizes.others == 4
    assert sizes.nearest((28, 28)) == (28, 28)
    assert sizes.nearest((28, 182)) == sizes.kept[-1] == (28, 126)
    config = model_config(recipe())
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    for resample in ("original", "transformers"):
        steps = Steps({}, dataclasses.replace(config, resample=resample), 28)
        own = steps.prepare(picture)
        steps.sizes = Sizes([own.shape[1:3]])
        np.testing.assert_array_equal(steps.prepare(picture), own)
        steps.sizes = Sizes([(28, 56)])
        other = steps.prepare(picture)
        assert other.shape == (1, 28, 56, 3)
        np.testing.assert_allclose(other.mean(), own.mean(), atol=0.05)


def test_held_out_pictures_of_which_none_counts_are_said(monkeypatch):
    config = model_config(recipe(*METRIC))

    monkeypatch.setattr(held_out_steps, "_apply", flat)
    said = []
    arguments = {}, config, WrongUnit(count=5), 3, 28, 1e-3, said.append
    metrics, _ = held_out.evaluate_held_out(*arguments)
    assert metrics == {"images": 0, "unreadable": 0}
    assert len(said) == 1 and said[0].startswith("none of 3 held-out pictures")
    assert "train/00004: no depth between 0.001 and 20 m (median 2300 m)" in said[0]


def test_a_row_is_the_whole_picture_masked_first():
    """Masks and units are computed of what is seen; Pillow resamples the reference."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0.5, 30, (480, 640)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    sample, size = metres(values), FINETUNE.data.size
    for seed in range(3):
        row = TrainingRows(FINETUNE)(sample, np.random.default_rng(seed))
        target, mask = target_of(sample, True, 1e-3, 20.0)
        view = draw(
            values.shape, (size, size), FINETUNE.data.augmentation,
            np.random.default_rng(seed),
        )  # fmt: skip
        whole = Image.fromarray(np.where(mask, target, np.float32(np.nan)))
        wanted = whole.resize((size, size), Image.Resampling.NEAREST, view.box)
        wanted = np.asarray(wanted)[:, :: -1 if view.flip else 1]
        np.testing.assert_array_equal(row["mask"], np.isfinite(wanted))
        np.testing.assert_array_equal(row["target"], np.nan_to_num(wanted))
        used = mask.sum() / np.isfinite(values).sum()
        assert abs(row["used"] - used) < 0.01


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
