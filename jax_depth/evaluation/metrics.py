"""Metrics of one depth map against ground truth, after alignment.

The definitions are those of the Depth Anything V2 code (`metric_depth/util/
metric.py`); the alignment in disparity follows MiDaS (Ranftl et al. 2020,
arXiv:1907.01341) and its authors' answers. Average over images, never over pixels.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from jax_depth.evaluation.alignment import fit_scale, fit_scale_shift


def evaluate(
    pred: Float[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    align: Literal["scale_shift", "scale", "none"] = "scale_shift",
    space: Literal["disparity", "depth"] = "disparity",
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
) -> dict[str, float]:
    """Return the metrics of one prediction.

    Args:
        pred: the prediction at the size of `depth`: inverse depth (any scale and
            shift) with `space` "disparity", depth with "depth".
        depth: ground truth in metres; anything where unknown.
        mask: True where `depth` is known. Pixels with depth outside
            (min_depth, max_depth) or not finite are left out as well.
        align: what is fitted by least squares, in `space`, before comparing.
        space: what `pred` is and where the fit happens. A relative model fitted in
            "depth" looks about twice as bad as it is.
        min_depth, max_depth: metres. The aligned prediction is clipped to them; in
            disparity, values at or below 1 / max_depth become max_depth.

    Returns:
        abs_rel, rmse (metres), silog (natural log, with half of the squared mean),
        d1, d2, d3 (shares of pixels within a factor 1.25, 1.25^2, 1.25^3) and
        spearman (rank correlation of the raw `pred` with the truth in `space`).

    Raises:
        ValueError: shapes differ, no pixel is left, `pred` is not finite under the
            mask, or an unknown `align` or `space`.
    """
    pred, depth = np.asarray(pred, np.float64), np.asarray(depth, np.float64)
    mask = np.asarray(mask, bool)
    if not pred.shape == depth.shape == mask.shape:
        raise ValueError(
            f"prediction {pred.shape}, depth {depth.shape} and mask {mask.shape} "
            "must have one shape; resize the prediction to the ground truth"
        )
    if space not in ("disparity", "depth"):
        raise ValueError(f'space {space!r} is unknown; use "disparity" or "depth"')
    mask = mask & np.isfinite(depth) & (depth > min_depth) & (depth < max_depth)
    if not mask.any():
        raise ValueError(
            f"no valid pixel has a depth between {min_depth} and {max_depth} m"
        )
    if not np.isfinite(pred[mask]).all():
        raise ValueError("the prediction is not finite on every valid pixel")

    safe = np.where(mask, depth, 1.0)
    target = 1.0 / safe if space == "disparity" else safe
    aligned = _align(pred, target, mask, align)
    if space == "disparity":
        aligned = 1.0 / np.maximum(aligned, 1.0 / max_depth)
    aligned = np.clip(aligned, min_depth, max_depth)
    result = depth_metrics(aligned[mask], depth[mask])
    return result | {"spearman": spearman(pred[mask], target[mask])}


def depth_metrics(
    pred: Float[np.ndarray, " n"], depth: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Return abs_rel, rmse, silog, d1, d2, d3 of positive depths in metres."""
    ratio = np.maximum(pred / depth, depth / pred)
    g = np.log(pred) - np.log(depth)
    variance = np.mean(g**2) - 0.5 * np.mean(g) ** 2
    return {
        "abs_rel": float(np.mean(np.abs(pred - depth) / depth)),
        "rmse": float(np.sqrt(np.mean((pred - depth) ** 2))),
        "silog": float(np.sqrt(variance)),
        **{f"d{i}": float(np.mean(ratio < 1.25**i)) for i in (1, 2, 3)},
    }


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return the rank correlation of two samples, ties sharing their mean rank.

    0.0 where one side is constant: it orders nothing.
    """
    x, y = _ranks(x), _ranks(y)
    x, y = x - x.mean(), y - y.mean()
    energy = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / energy) if energy else 0.0


def _ranks(x) -> Float[np.ndarray, " n"]:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[inverse]


def _align(pred, target, mask, align: str):
    if align == "scale_shift":
        scale, shift = fit_scale_shift(pred, target, mask)
        return scale * pred + shift
    if align == "scale":
        return fit_scale(pred, target, mask) * pred
    if align == "none":
        return pred
    raise ValueError(
        f'align {align!r} is unknown; use "scale_shift", "scale" or "none"'
    )
