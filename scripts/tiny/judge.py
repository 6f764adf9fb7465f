"""Metrics of parameters on held-out frames, and the "lower is nearer" baseline."""

import functools
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jax_depth.config import ModelConfig
from jax_depth.evaluation import evaluate
from jax_depth.models.depth_anything import forward
from jax_depth.models.resize import resize_bilinear
from jax_depth.training.step import normalize_rgb

MAX_DEPTH = 80.0
ASSETS = Path(__file__).parents[2] / "jax_depth/assets/tiny"


@functools.partial(jax.jit, static_argnums=(2, 3))
def _predict(params, rgb, config: ModelConfig, size: tuple[int, int]):
    disparity = forward(params, normalize_rgb(rgb, config), config)
    return resize_bilinear(disparity[..., None], size)[..., 0]


def predict(
    params, config: ModelConfig, rgb: np.ndarray, short_side: int
) -> np.ndarray:
    """Return disparity (h, w) of a uint8 picture, computed at `short_side` pixels."""
    h, w, _ = rgb.shape
    patch = config.encoder.patch_size
    scale = short_side / min(h, w)
    rows, columns = (max(1, round(x * scale / patch)) * patch for x in (h, w))
    small = Image.fromarray(rgb).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(_predict(params, jnp.asarray(small)[None], config, (h, w)))[0]


def ramp(shape: tuple[int, int]) -> np.ndarray:
    """Return the baseline that knows nothing: the lower, the nearer."""
    h, w = shape
    return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (h, w))


def mean_metrics(results: Iterable[dict]) -> dict[str, float]:
    """Return each metric's mean over images."""
    results = list(results)
    return {k: round(float(np.mean([r[k] for r in results])), 4) for k in results[0]}


def depth_and_mask(disparity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return metres and where they are known: sky, disparity 0, has none."""
    mask = disparity > 0
    return 1 / np.where(mask, disparity, 1), mask


def judge_frames(
    params, config: ModelConfig, frames, limit: int | None = None, short_side: int = 192
) -> dict[str, float]:
    """Return the mean metrics over held-out frames, aligned in disparity."""
    count = min(len(frames), limit or len(frames))
    results = []
    for i in range(count):
        frame = frames[i]
        depth, mask = depth_and_mask(frame.disparity)
        pred = predict(params, config, frame.rgb, short_side)
        results.append(evaluate(pred, depth, mask, max_depth=MAX_DEPTH))
    return mean_metrics(results) | {"images": count}
