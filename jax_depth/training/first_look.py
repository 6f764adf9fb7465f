"""What a person looks at first: the range of each dataset, and the first batch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import Sample, SampleError
from jax_depth.outputs.color import table_of
from jax_depth.training.feed import known, target_of
from jax_depth.training.recipe import Recipe

# Samples that are read of a dataset, evenly spaced.
_SAMPLES = 32
# Share of usable depth below which the unit is in doubt.
_ENOUGH = 0.9
_ROWS = 8


def depth_lines(
    recipe: Recipe, datasets: Sequence[Dataset]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a sentence on each dataset's depth, and its numbers.

    Args:
        recipe: says which depth is used.
        datasets: up to 32 samples of each are read. Unreadable ones are left to the
            loader, which counts them.
    """
    metric = recipe.model.kind == "metric_depth"
    far = min(recipe.model.max_depth or np.inf, recipe.data.max_depth)
    for dataset in datasets:
        count, total, used = len(dataset), 0, 0
        values: list[np.ndarray] = []
        for index in np.linspace(0, count - 1, min(count, _SAMPLES)).astype(int):
            try:
                sample = dataset[int(index)]
                _, mask = target_of(sample, metric, recipe.data.min_depth, far)
            except SampleError:
                continue
            total += int(known(sample, metric).sum())
            used += int(mask.sum())
            values.append(_metres(sample))
        share = used / total if total else 0.0
        numbers: dict[str, Any] = {"dataset": dataset.text or repr(dataset)}
        numbers |= {"pairs": count, "share_of_depth_used": share}
        sentence = f"{dataset.text or dataset!r}: {count} pairs"
        metres = np.concatenate(values) if values else np.zeros(0)
        if metres.size:
            low, median, high = np.percentile(metres, (1, 50, 99))
            sentence += f", median {median:.3g} m, 1-99 %: {low:.3g}-{high:.3g} m"
            numbers |= {"median": float(median), "low": float(low), "high": float(high)}
        sentence += f", {share:.0%} of the depth used"
        if ignored := getattr(dataset, "ignored", ()):
            sentence += f", ignored columns: {', '.join(ignored)}"
        yield sentence, numbers
        if share < _ENOUGH:
            yield (
                f"warning: {1 - share:.0%} of the depth of {dataset.text or dataset!r} "
                f"lies outside {recipe.data.min_depth:g}-{far:g} m and is not used: "
                "check the data's unit and scale, data.min_depth, data.max_depth and a "
                "metric model's model.max_depth",
                {},
            )


def _metres(sample: Sample) -> np.ndarray:
    """Return known depth in metres, thinned out; nothing where there is no unit."""
    if sample.unit is None:
        return np.zeros(0, np.float32)
    depth, mask = sample.metric_depth()
    found = depth[mask]
    return found[:: max(1, found.size // 10_000)]


def batch_picture(arrays: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the first rows of a batch: photo as augmented, target, mask."""
    rows = []
    for row in range(min(_ROWS, len(arrays["rgb"]))):
        rgb, target, mask = (arrays[key][row] for key in ("rgb", "target", "mask"))
        if rgb.dtype != np.uint8:  # in [0, 1], beyond it where a resize overshot
            rgb = 255 * np.clip(rgb, 0, 1)
        low, high = np.percentile(target[mask], (2, 98)) if mask.any() else (0.0, 1.0)
        level = np.clip((target - low) / max(high - low, 1e-6), 0, 1)
        coloured = table_of("Spectral_r")[np.where(mask, 255 * level, 0).astype(int)]
        shown = np.where(mask[..., None], coloured, 0)
        white = np.repeat(np.where(mask, 255, 0)[..., None], 3, -1)
        rows.append(np.concatenate([rgb, shown, white], 1).astype(np.uint8))
    return np.concatenate(rows, 0)
