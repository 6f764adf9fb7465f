"""Evaluation while training: metrics and pictures of held-out samples."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import SampleError
from jax_depth.evaluation import evaluate
from jax_depth.inference.preprocess import from_network, served, to_network
from jax_depth.inference.prompted import takes_prompts
from jax_depth.models.depth_anything import apply
from jax_depth.training.feed import out_of_range, target_of
from jax_depth.training.panels import panel
from jax_depth.training.prompt_simulation import PromptSimulation, simulate

# Inverse depth is evaluated as metres up to here, see `evaluation.evaluate`.
_FAR = 80.0
_PICTURES = 4


_apply = jax.jit(apply, static_argnums=2)


def predict(
    params: Params,
    config: ModelConfig,
    rgb: UInt8[np.ndarray, "h w 3"],
    side: int,
    prompt: Float32[np.ndarray, "h2 w2"] | None = None,
) -> Float32[np.ndarray, "h w"]:
    """Return depth at a picture's own size, as `Estimator` at size `side` does."""
    seen = served(config, side)
    beside = {} if prompt is None else {"prompt": prompt[None]}
    depth = _apply(params, to_network(rgb, seen), config, **beside).depth
    return from_network(np.asarray(depth)[0], config, rgb.shape[:2])


def evaluate_held_out(
    params: Params,
    config: ModelConfig,
    samples: Dataset,
    limit: int,
    side: int,
    min_depth: float = 1e-3,
    report: Callable[[str], None] | None = None,
    simulation: PromptSimulation | None = None,
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

    A relative model is aligned by scale and shift in disparity, a metric one is not
    aligned. "images" and "unreadable" count the samples. With several processes each
    evaluates its share; the numbers are for all of them.
    """
    metric = config.kind == "metric_depth"
    far = config.max_depth or _FAR
    results, pictures, unreadable, reason = [], [], 0, ""
    count = min(limit, len(samples))
    chosen = np.linspace(0, len(samples) - 1, count).astype(int)
    # Neighbours may show the same scene.
    shown = set(chosen[np.linspace(0, count - 1, min(count, _PICTURES)).astype(int)])
    for number in chosen[jax.process_index() :: jax.process_count()]:
        try:
            sample = samples[int(number)]
        except SampleError as error:
            unreadable, reason = unreadable + 1, str(error)
            continue
        target, mask = target_of(sample, metric, min_depth, far)
        mask = mask & (target > 0)
        depth = target if metric else 1 / np.where(mask, target, np.float32(1))
        beside = ()
        if takes_prompts(config):
            known = np.where(mask, target, np.float32(np.nan))
            generator = np.random.default_rng(int(number))
            beside = (simulate(known, simulation or PromptSimulation(), generator),)
        pred = predict(params, config, sample.rgb, side, *beside)
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
