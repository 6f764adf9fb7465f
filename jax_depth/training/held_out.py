"""Evaluation while training: metrics and pictures of held-out samples."""

import contextlib
import weakref
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import Sample, SampleError
from jax_depth.evaluation import evaluate
from jax_depth.inference.prompted import takes_prompts
from jax_depth.inference.stream import stream
from jax_depth.training.feed import out_of_range, target_of
from jax_depth.training.held_out_steps import Sizes, Steps
from jax_depth.training.panels import panel
from jax_depth.training.prompt_simulation import PromptSimulation, simulate, thinned

# Inverse depth is evaluated as metres up to here, see `evaluation.evaluate`.
_FAR = 80.0
_PICTURES = 4
# Dataset -> (samples of it, model) -> the sizes at which its pictures are shown.
_sizes: MutableMapping[Dataset, dict[tuple[int, ModelConfig], Sizes]]
_sizes = weakref.WeakKeyDictionary()


def evaluate_held_out(
    params: Params,
    config: ModelConfig,
    samples: Dataset,
    limit: int,
    side: int,
    min_depth: float = 1e-3,
    report: Callable[[str], None] | None = None,
    simulation: PromptSimulation | None = None,
    devices: Sequence[Any] | None = None,
) -> tuple[dict[str, float | int], list[UInt8[np.ndarray, "h w 3"]]]:
    """Return each metric's mean over evenly spaced samples, and a few pictures.

    Args:
        params, config: of the model.
        samples: with metric depth or inverse depth in 1/m, or pseudo-labels.
        limit: number of samples.
        side: short side in pixels the network sees.
        min_depth: metres below which pixels are left out.
        report: called with a message if not a single sample could be evaluated.
        simulation: of the prompts, for a model that takes them; the same each time.
        devices: of this process, to compute on; all of them by default.

    A relative model is aligned by scale and shift in disparity, a metric one is not
    aligned. "images" and "unreadable" count the samples. Each process evaluates its
    share, a picture on each of its devices at a time; the numbers are for all of them.
    Pictures are shown to the network at no more than `Sizes.MOST` sizes.
    """
    metric = config.kind == "metric_depth"
    far = config.max_depth or _FAR
    results, pictures, unreadable, reason = [], [], 0, ""
    count = min(limit, len(samples))
    chosen = np.linspace(0, len(samples) - 1, count).astype(int)
    # Neighbours may show the same scene.
    shown = set(chosen[np.linspace(0, count - 1, min(count, _PICTURES)).astype(int)])
    steps = Steps(params, config, side, devices)
    steps.sizes = _sizes_of(samples, chosen, steps, report)
    read: dict[int, tuple[Sample, np.ndarray, np.ndarray]] = {}

    def picture(number: int) -> UInt8[np.ndarray, "h w 3"]:
        sample = samples[number]
        target, mask = target_of(sample, metric, min_depth, far)
        read[number] = sample, target, mask & (target > 0)
        return sample.rgb

    def prompt(number: int, rgb: np.ndarray) -> np.ndarray:
        _, target, mask = read[number]
        known = np.where(mask, target, np.float32(np.nan))
        # Of the network's size, so that prompts have as few sizes as pictures.
        known = thinned(known, steps.size_of(rgb.shape[:2]))
        generator = np.random.default_rng(number)
        return simulate(known, simulation or PromptSimulation(), generator)[None]

    mine = map(int, chosen[jax.process_index() :: jax.process_count()])
    beside = prompt if takes_prompts(config) else None
    with contextlib.closing(stream(mine, steps, read=picture, beside=beside)) as maps:
        for number, pred in maps:
            if isinstance(pred, SampleError):
                unreadable, reason = unreadable + 1, str(pred)
                continue
            if isinstance(pred, Exception):
                raise pred
            sample, target, mask = read.pop(number)
            depth = target if metric else 1 / np.where(mask, target, np.float32(1))
            space, align = ("depth", "none") if metric else ("disparity", "scale_shift")
            caption = ""
            if mask.any():
                results.append(
                    evaluate(pred, depth, mask, align, space, min_depth, max_depth=far)
                )
                caption = f"AbsRel {results[-1]['abs_rel']:.3f}"
            else:
                reason = f"{sample.name}: {out_of_range(sample, min_depth, far)}"
            if number in shown:
                pictures.append(panel(sample.rgb, target, mask, pred, metric, caption))
    means, judged, unreadable = _combined(results, unreadable)
    if not judged and report is not None:
        report(
            f"none of {count} held-out pictures could be evaluated, the last: {reason}"
        )
    return means | {"images": judged, "unreadable": unreadable}, pictures


def _sizes_of(
    samples: Dataset,
    chosen: np.ndarray,
    steps: Steps,
    report: Callable[[str], None] | None,
) -> Sizes:
    """Return the sizes of the chosen pictures, found once; every process calls it."""
    known, key = _sizes.setdefault(samples, {}), (len(chosen), steps.seen)
    if key in known:
        return known[key]
    found = np.zeros((len(chosen), 2), np.int32)
    for place in range(jax.process_index(), len(chosen), jax.process_count()):
        with contextlib.suppress(SampleError):
            found[place] = steps.own_size(samples[int(chosen[place])].rgb.shape[:2])
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        found = multihost_utils.process_allgather(found).sum(0)
    sizes = known[key] = Sizes([(r, c) for r, c in found.tolist() if r])
    if sizes.others and report is not None:
        report(
            f"{sizes.others} of {len(chosen)} held-out pictures are stretched a little "
            f"to one of the {Sizes.MOST} most frequent sizes at the network, so that "
            "few programs are compiled; `jax-depth eval` computes each at its own"
        )
    return sizes


def _combined(
    results: list[dict[str, float]], unreadable: int
) -> tuple[dict[str, float], int, int]:
    """Return means over the pictures of all processes, and their two counts."""
    if jax.process_count() == 1:
        names = results[0] if results else {}
        means = {name: float(np.mean([r[name] for r in results])) for name in names}
        return means, len(results), unreadable
    from jax.experimental import multihost_utils

    # A process may have evaluated none, and then does not know the names.
    one = np.arange(1.0, 5.0, dtype=np.float32).reshape(2, 2)
    names = sorted(evaluate(one, one, one > 0, "none", "depth"))
    sums = [sum(r[name] for r in results) for name in names]
    mine = np.asarray([len(results), unreadable, *sums], np.float32)
    count, bad, *totals = multihost_utils.process_allgather(mine).sum(0).tolist()
    pairs = zip(names, totals, strict=True)
    means = {name: total / count for name, total in pairs} if count else {}
    return means, int(count), int(bad)
