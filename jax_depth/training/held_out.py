"""Evaluation while training: metrics and pictures of held-out samples."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import SampleError
from jax_depth.evaluation import evaluate, fit_scale_shift
from jax_depth.models.depth_anything import forward
from jax_depth.models.resize import resize_bilinear
from jax_depth.training.feed import out_of_range, target_of
from jax_depth.training.step import normalize_rgb

# Inverse depth is judged as metres up to here, see `evaluation.evaluate`.
_FAR = 80.0
_PICTURES = 4


@functools.partial(jax.jit, static_argnums=(2, 3))
def _predict(params, rgb, config: ModelConfig, size: tuple[int, int]):
    depth = forward(params, normalize_rgb(rgb, config), config)
    return resize_bilinear(depth[..., None], size)[..., 0]


def predict(
    params: Params, config: ModelConfig, rgb: UInt8[np.ndarray, "h w 3"], side: int
) -> Float32[np.ndarray, "h w"]:
    """Return depth at a picture's own size, computed at short side `side` pixels."""
    h, w, _ = rgb.shape
    patch = config.encoder.patch_size
    scale = side / min(h, w)
    rows, columns = (max(1, round(x * scale / patch)) * patch for x in (h, w))
    small = Image.fromarray(rgb).resize((columns, rows), Image.Resampling.BICUBIC)
    depth = _predict(params, jnp.asarray(np.asarray(small)[None]), config, (h, w))
    return np.asarray(depth)[0]


def evaluate_held_out(
    params: Params,
    config: ModelConfig,
    samples: Dataset,
    limit: int,
    side: int,
    min_depth: float = 1e-3,
    report: Callable[[str], None] | None = None,
) -> tuple[dict[str, float | int], list[UInt8[np.ndarray, "h w 3"]]]:
    """Return each metric's mean over evenly spaced samples, and a few pictures.

    Args:
        params, config: of the model.
        samples: with metric depth or inverse depth in 1/m, or pseudo-labels.
        limit: number of samples.
        side: short side in pixels the network sees.
        min_depth: metres below which pixels are left out.
        report: called with a sentence if not one sample could be judged.

    A relative model is aligned by scale and shift in disparity, a metric one is not
    aligned. "images" and "unreadable" count the samples.
    """
    metric = config.kind == "metric_depth"
    far = config.max_depth if metric else _FAR
    assert far is not None
    results, pictures, unreadable, reason = [], [], 0, ""
    count = min(limit, len(samples))
    for number in np.linspace(0, len(samples) - 1, count).astype(int):
        try:
            sample = samples[int(number)]
        except SampleError as error:
            unreadable, reason = unreadable + 1, str(error)
            continue
        target, mask = target_of(sample, metric, min_depth, far)
        mask = mask & (target > 0)
        depth = target if metric else 1 / np.where(mask, target, np.float32(1))
        pred = predict(params, config, sample.rgb, side)
        space, align = ("depth", "none") if metric else ("disparity", "scale_shift")
        if mask.any():
            results.append(
                evaluate(pred, depth, mask, align, space, min_depth, max_depth=far)
            )
        else:
            reason = f"{sample.name}: {out_of_range(sample, min_depth, far)}"
        if len(pictures) < _PICTURES:
            pictures.append(_panel(sample.rgb, target, mask, pred, metric))
    if not results and report is not None:
        report(f"none of {count} held-out pictures could be judged, the last: {reason}")
    names = results[0] if results else {}
    means = {name: float(np.mean([r[name] for r in results])) for name in names}
    return means | {"images": len(results), "unreadable": unreadable}, pictures


def _panel(rgb, target, mask, pred, metric: bool) -> UInt8[np.ndarray, "h w2 3"]:
    """Return picture, truth and prediction side by side, near bright, on one range."""
    if mask.any():
        if not metric:
            scale, shift = fit_scale_shift(pred, target, mask)
            pred = scale * pred + shift
        low, high = np.percentile(target[mask], (2, 98))
    else:
        low, high = 0.0, 1.0

    def grey(values, known):
        level = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
        level = 1 - level if metric else level
        level = np.where(known, 40 + 215 * level, 0).astype(np.uint8)
        return np.repeat(level[..., None], 3, -1)

    everywhere = np.ones_like(mask)
    return np.concatenate([rgb, grey(target, mask), grey(pred, everywhere)], axis=1)
