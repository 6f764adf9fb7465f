"""Pictures of what an evaluation found worst."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jax_depth.data.sample import SampleError
from jax_depth.depth_map import DepthMap
from jax_depth.evaluation.benchmark import Benchmark, DepthBenchmark, in_space
from jax_depth.evaluation.metrics import score
from jax_depth.outputs.color import colorize, side_by_side

_WIDEST = 1600  # pixels of a photo; truth of ETH3D has 24 million


def write_worst(
    folder: Path, benchmark: Benchmark, predict: Any, worst: list[dict[str, Any]]
) -> None:
    """Write photo, truth and prediction side by side for each of the worst pictures.

    Truth and prediction share one scale, of inverse depth in metres over the range of
    the truth; black where the truth is unknown. Without a map of the truth (DA-2K) it
    is photo and prediction.

    Args:
        folder: made if missing; files are NN_NAME.jpg, worst first.
        benchmark, predict: of the evaluation.
        worst: of its summary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9][0-9]_*.jpg"):
        old.unlink()
    for rank, entry in enumerate(worst, 1):
        try:
            rgb, truth = benchmark.read(entry["index"])
        except SampleError:
            continue  # gone since it was judged
        depth = predict([rgb])[0]
        if isinstance(benchmark, DepthBenchmark):
            pictures = _against_truth(benchmark, depth, truth)
        else:
            pictures = [colorize(depth)]
        width = rgb.shape[1]
        joined = [side_by_side(rgb, picture) for picture in pictures]
        panel = np.concatenate([rgb, *(one[:, width:] for one in joined)], axis=1)
        step = max(1, -(-width // _WIDEST))
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", entry["name"])[-80:]
        image = Image.fromarray(np.ascontiguousarray(panel[::step, ::step]))
        image.save(folder / f"{rank:02d}_{stem}.jpg", quality=90)


def _against_truth(
    benchmark: DepthBenchmark, depth: DepthMap, truth: Any
) -> list[np.ndarray]:
    """Return truth and aligned prediction as pictures on one scale."""
    target, mask = truth
    low, high = benchmark.protocol.min_depth, benchmark.protocol.max_depth
    known = mask & (target > low) & (target < high)
    pred = in_space(depth, benchmark.alignment)
    aligned = score(pred, target, mask, benchmark.alignment, low, high).aligned.depth
    true = np.where(known, 1 / np.where(known, target, 1), 0)
    far, near = float(true[known].min()), float(true[known].max())
    if not far < near:
        far, near = 0.0, near
    pictures = [
        colorize(DepthMap(values, "inverse_depth"), low=far, high=near)
        for values in (true, 1 / aligned)
    ]
    return [np.where(known[..., None], pictures[0], np.uint8(0)), pictures[1]]
