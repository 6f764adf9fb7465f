"""From a dataset's sample to the arrays of one row of a batch."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from jax_depth.config import Resample
from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import Sample, SampleError
from jax_depth.inference.prompted import takes_prompts
from jax_depth.training.augment import draw
from jax_depth.training.prompt_simulation import simulate
from jax_depth.training.recipe import Recipe
from jax_depth.training.start import model_config

# Pixels of a sample that are counted, about, for the share of its depth that is used.
_COUNTED = 1 << 16


class PseudoSample(Sample):
    """A sample whose target another network predicted."""


class PseudoLabelled(Dataset):
    """A dataset whose targets another network predicted, see `jax-depth label`."""

    title = "pseudo"

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self.root, self.names = dataset.root, dataset.names
        self.text = dataset.text and f"pseudo {dataset.text}"

    def __getitem__(self, index: int) -> Sample:
        return self._read(index)

    def _read(self, index: int) -> Sample:
        sample = self._dataset[index]
        fields = {f.name: getattr(sample, f.name) for f in dataclasses.fields(sample)}
        return PseudoSample(**fields)


class TrainingRows:
    """The transform of `data.loader.Loader`: crop, augment, mask, choose the target.

    Args:
        recipe: the run.
    """

    def __init__(self, recipe: Recipe):
        self._metric = recipe.model.kind == "metric_depth"
        # A metric model must not learn what it cannot predict.
        most = recipe.model.max_depth or recipe.data.max_depth
        self._far = min(most, recipe.data.max_depth)
        self._data = recipe.data
        config = model_config(recipe)
        self._resample: Resample = config.resample
        self._prompted = takes_prompts(config)

    def __call__(
        self, sample: Sample, generator: np.random.Generator
    ) -> Mapping[str, np.ndarray]:
        """Return rgb (h, w, 3), target and mask (h, w), pseudo and used ().

        And prompt (h2, w2) where the model takes one, simulated. rgb is what `augment`
        returns for the model's `resample`. The target is metres for a metric model,
        else inverse depth.

        Raises:
            SampleError: the whole sample has no depth the run may learn from, as with a
                wrong unit throughout. A crop may well have none.
            ValueError: the sample is unlabelled, or has no metres where they are
                needed.
        """
        data = self._data
        pseudo = isinstance(sample, PseudoSample)
        used = self._used(sample)
        settings = data.pseudo_augmentation if pseudo else data.augmentation
        shape = (data.size, data.size)
        view = draw(sample.rgb.shape[:2], shape, settings, generator)
        rgb = view.picture(sample.rgb, settings, generator, self._resample)
        # Of the pixels that are seen alone: nearest neighbours keep their values.
        seen = _with_maps(sample, view.nearest)
        target, mask = target_of(seen, self._metric, data.min_depth, self._far)
        more = {}
        if self._prompted:
            unknown = np.where(mask, target, np.float32(np.nan))
            more["prompt"] = simulate(unknown, data.prompt, generator)
        return {
            "rgb": np.ascontiguousarray(rgb),
            "target": np.where(mask, target, np.float32(0)),
            "mask": mask,
            "pseudo": np.asarray(pseudo),
            "used": np.asarray(used, np.float32),
            **more,
        }

    def _used(self, sample: Sample) -> float:
        """Return the share of known depth in range, of every n-th pixel.

        Raises:
            SampleError: none at all is.
        """
        low, far = self._data.min_depth, self._far
        step = max(1, math.isqrt(sample.rgb[..., 0].size // _COUNTED))
        for n in dict.fromkeys((step, 1)):
            few = _with_maps(sample, lambda values, n=n: values[::n, ::n])
            _, mask = target_of(few, self._metric, low, far)
            if count := np.count_nonzero(mask):
                return count / np.count_nonzero(known(few, self._metric))
        raise SampleError(f"{sample.name}: {out_of_range(sample, low, far)}")


def _with_maps(sample: Sample, change: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Return a sample whose target and mask are changed; its picture is black."""
    if sample.target is None or sample.mask is None:
        return sample
    target, mask = change(sample.target), change(sample.mask)
    black = np.broadcast_to(np.uint8(0), (*mask.shape, 3))
    return dataclasses.replace(sample, rgb=black, target=target, mask=mask)


def target_of(
    sample: Sample, metric: bool, min_depth: float, max_depth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a model learns from a sample, float32 (h, w), and its mask.

    Pixels outside [min_depth, max_depth] metres are masked, where metres are known;
    infinitely far ones stay, since inverse depth 0 is as informative as any other.
    """
    if metric:
        depth, mask = sample.metric_depth()
        return depth, mask & (depth >= min_depth) & (depth <= max_depth)
    disparity, mask = sample.inverse_depth()
    if sample.unit is not None:
        near = disparity <= 1 / min_depth
        mask = mask & near & ((disparity == 0) | (disparity >= 1 / max_depth))
    return disparity, mask


def known(sample: Sample, metric: bool) -> np.ndarray:
    """Return where a sample has something a model of that kind could learn."""
    if metric:
        return sample.metric_depth()[1]
    assert sample.mask is not None
    return sample.mask


def out_of_range(sample: Sample, min_depth: float, max_depth: float) -> str:
    """Return why `target_of` leaves nothing of a sample."""
    if sample.unit is None:
        return "no pixel with a valid depth"
    metres, known = sample.metric_depth()
    median = f"median {np.median(metres[known]):g} m" if known.any() else "all is sky"
    return (
        f"no depth between {min_depth:g} and {max_depth:g} m ({median}): check the "
        "data's unit and scale, data.max_depth and a metric model's model.max_depth"
    )
