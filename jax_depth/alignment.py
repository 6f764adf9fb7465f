"""Scale and shift between two vectors: least squares, its robust relative, or none.

Everything is float64. A relative model leaves scale and shift free, so they are fitted
before its maps are compared with anything (Ranftl et al. 2020, arXiv:1907.01341,
section 6).
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64

# "scale_shift": least squares of both; "scale": of the scale alone; "median": the ratio
# of the two medians, no shift; "trimmed": least squares of both over the 80 % of the
# points that fit best (least trimmed squares, Rousseeuw 1984), so that outliers count
# for nothing; "none": 1 and 0.
Method = Literal["scale_shift", "scale", "median", "trimmed", "none"]

# Share of the pixels that the trimmed fit keeps, as MiDaS' trimmed loss does.
KEPT = 0.8
_STARTS = 32  # random pairs the trimmed fit starts from, besides all pixels
_SAMPLE = 4096  # pixels on which the starts are compared
_STEPS = 50  # concentration steps at most; ten are usual


def fit(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], method: Method
) -> tuple[float, float]:
    """Return (scale, shift) that bring `x` to `y`, see `Method`."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if method == "scale_shift":
        return _least_squares(x, y)
    if method == "trimmed":
        return fit_trimmed(x, y)
    if method == "scale":
        energy = float(x @ x)
        return (float(x @ y) / energy if energy else 0.0), 0.0
    if method == "median":
        middle = float(np.median(x))
        return (float(np.median(y)) / middle if middle else 0.0), 0.0
    return 1.0, 0.0


def fit_scale_shift(
    pred: Float[np.ndarray, "h w"],
    target: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
) -> tuple[float, float]:
    """Return (scale, shift) that minimise sum (scale pred + shift - target)^2.

    Both sides are centred by their masked mean first: with raw outputs around 100
    the textbook normal equations lose their determinant to rounding. A prediction
    that is constant under the mask gets scale 0 and the mean of `target`.

    Args:
        pred: prediction, any affine-invariant quantity.
        target: the same kind of quantity, disparity for the published protocols.
        mask: pixels to fit, at least one.
    """
    return _least_squares(pred[mask].astype(np.float64), target[mask].astype(float))


def fit_trimmed(
    x: Float64[np.ndarray, " n"], y: Float64[np.ndarray, " n"], kept: float = KEPT
) -> tuple[float, float]:
    """Return the least squares fit to the points that it fits best.

    Least trimmed squares by concentration steps (FAST-LTS, Rousseeuw and Van Driessen
    2006) from all points and from random pairs, drawn with a fixed seed: the same
    points give the same fit.

    Args:
        x, y: at least one point.
        kept: share of the points whose squares are summed.
    """
    count = max(2, int(np.ceil(kept * x.size)))
    if x.size <= 2 or count >= x.size:
        return _least_squares(x, y)
    rng = np.random.default_rng(0)
    chosen = slice(None)
    if x.size > _SAMPLE:
        chosen = rng.choice(x.size, _SAMPLE, replace=False)
    few_x, few_y = x[chosen], y[chosen]
    few = max(2, int(np.ceil(kept * few_x.size)))
    starts = [_least_squares(few_x, few_y)]
    for _ in range(_STARTS):
        pair = rng.choice(few_x.size, 2, replace=False)
        starts.append(_least_squares(few_x[pair], few_y[pair]))
    starts = [_concentrate(few_x, few_y, few, start, 3) for start in starts]
    best = min(starts, key=lambda found: found[1])
    return _concentrate(x, y, count, best[0], _STEPS)[0]


def _concentrate(x, y, count: int, fitted: tuple[float, float], steps: int):
    """Fit the best `count` points again and again; the sum of squares only falls."""
    total = np.inf
    for _ in range(steps):
        squares = (fitted[0] * x + fitted[1] - y) ** 2
        best = np.argpartition(squares, count - 1)[:count]
        now = float(squares[best].sum())
        if not now < total:
            break
        total = now
        fitted = _least_squares(x[best], y[best])
    return fitted, total


def _least_squares(x, y) -> tuple[float, float]:
    mean_x, mean_y = x.mean(), y.mean()
    x, y = x - mean_x, y - mean_y
    energy = float(x @ x)
    # Below rounding of the mean there is nothing to fit.
    flat = energy <= x.size * (1e-12 * abs(mean_x)) ** 2
    scale = 0.0 if flat else float(x @ y) / energy
    return scale, float(mean_y - scale * mean_x)
