"""Metrics of one depth map against ground truth, after alignment.

The definitions are those of the Depth Anything V2 code (`metric_depth/util/
metric.py`); the alignment in disparity follows MiDaS (Ranftl et al. 2020,
arXiv:1907.01341) and its authors' answers. Average over images, never over pixels.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from jax_depth.alignment import Method
from jax_depth.evaluation.alignment import Aligned, Alignment, Space, align

# What `evaluate` returns; `score` has the rest.
_EVALUATED = ("abs_rel", "rmse", "silog", "d1", "d2", "d3")


@dataclasses.dataclass(frozen=True)
class Score:
    """How good one prediction is.

    Attributes:
        metrics: name -> value: those of `depth_metrics` and "spearman".
        pixels: how many were compared.
        aligned: the prediction in metres and its fit, whose `notes` say what makes
            the metrics doubtful.
    """

    metrics: dict[str, float]
    pixels: int
    aligned: Aligned


def score(
    pred: Float[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    alignment: Alignment,
    min_depth: float,
    max_depth: float,
) -> Score:
    """Align one prediction with the truth and return every metric.

    Args:
        pred: the prediction at the size of `depth`: what `alignment.space` says.
        depth: ground truth in metres; anything where unknown.
        mask: True where `depth` is known. Pixels with depth outside
            (min_depth, max_depth) or not finite are left out as well.
        alignment: what is fitted before comparing.
        min_depth, max_depth: metres. The aligned prediction is clipped to them.

    Raises:
        ValueError: shapes differ, no pixel is left, `pred` is not finite under the
            mask, or not positive where it must be.
    """
    pred, depth = np.asarray(pred, np.float64), np.asarray(depth, np.float64)
    mask = np.asarray(mask, bool)
    if not pred.shape == depth.shape == mask.shape:
        raise ValueError(
            f"prediction {pred.shape}, depth {depth.shape} and mask {mask.shape} "
            "must have one shape; resize the prediction to the ground truth"
        )
    mask = mask & np.isfinite(depth) & (depth > min_depth) & (depth < max_depth)
    if not mask.any():
        raise ValueError(
            f"no valid pixel has a depth between {min_depth} and {max_depth} m"
        )
    if not np.isfinite(pred[mask]).all():
        raise ValueError("the prediction is not finite on every valid pixel")
    aligned = align(pred, depth, mask, alignment, min_depth, max_depth)
    metrics = depth_metrics(aligned.depth[mask], depth[mask])
    truth = 1 / depth[mask] if alignment.space == "disparity" else depth[mask]
    metrics["spearman"] = spearman(pred[mask], truth)
    return Score(metrics, int(mask.sum()), aligned)


def evaluate(
    pred: Float[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    align: Method = "scale_shift",
    space: Space = "disparity",
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
) -> dict[str, float]:
    """Return the usual metrics of one prediction; `score` has all of them.

    Args:
        pred: the prediction at the size of `depth`: inverse depth (any scale and
            shift) with `space` "disparity", depth with "depth" and "log_depth".
        depth: ground truth in metres; anything where unknown.
        mask: True where `depth` is known. Pixels with depth outside
            (min_depth, max_depth) or not finite are left out as well.
        align: what is fitted, in `space`, before comparing, see `Alignment`.
        space: what `pred` is and where the fit happens. A relative model fitted in
            "depth" looks about twice as bad as it is.
        min_depth, max_depth: metres. The aligned prediction is clipped to them; in
            disparity, values at or below 1 / max_depth become max_depth.

    Returns:
        abs_rel, rmse (metres), silog (natural log, with half of the squared mean),
        d1, d2, d3 (shares of pixels within a factor 1.25, 1.25^2, 1.25^3) and
        spearman (rank correlation of the raw `pred` with the truth in `space`).

    Raises:
        ValueError: as `score`, or an unknown `align` or `space`.
    """
    alignment = Alignment(align, space)
    metrics = score(pred, depth, mask, alignment, min_depth, max_depth).metrics
    return {name: metrics[name] for name in (*_EVALUATED, "spearman")}


def depth_metrics(
    pred: Float[np.ndarray, " n"], depth: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Return the metrics of positive depths in metres.

    With g = log(pred) - log(depth), natural:

    - abs_rel, sq_rel: mean |pred - depth| / depth, mean (pred - depth)^2 / depth.
    - rmse (metres), rmse_log, log10: root mean square, that of g, mean |g| / log 10.
    - silog: sqrt(mean g^2 - mean(g)^2 / 2), as Depth Anything V2.
    - silog_kitti: 100 sqrt(mean g^2 - mean(g)^2), as ZoeDepth, Marigold (per image)
      and Eigen et al. 2014 (arXiv:1406.2283) with lambda 1, in percent.
    - silog_unbiased: 100 std(g) with n - 1, as UniDepth; 0 for one pixel.
    - silog_loss: 10 sqrt(var(g) + 0.15 mean(g)^2), n - 1, as ZoeDepth's loss.
    - d1, d2, d3: shares with max(pred / depth, depth / pred) < 1.25, 1.25^2, 1.25^3.
    """
    pred, depth = pred.astype(np.float64), depth.astype(np.float64)
    ratio = np.maximum(pred / depth, depth / pred)
    error = pred - depth
    g = np.log(pred) - np.log(depth)
    square, mean = float(np.mean(g**2)), float(np.mean(g))
    unbiased = float(np.var(g, ddof=1)) if g.size > 1 else 0.0
    return {
        "abs_rel": float(np.mean(np.abs(error) / depth)),
        "sq_rel": float(np.mean(error**2 / depth)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "rmse_log": float(np.sqrt(square)),
        "log10": float(np.mean(np.abs(g)) / np.log(10)),
        "silog": float(np.sqrt(square - 0.5 * mean**2)),
        "silog_kitti": float(100 * np.std(g)),
        "silog_unbiased": float(100 * np.sqrt(unbiased)),
        "silog_loss": float(10 * np.sqrt(unbiased + 0.15 * mean**2)),
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
