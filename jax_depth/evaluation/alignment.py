"""Bringing a prediction to the scale of the truth: least squares and its relatives.

Everything is float64, of one image. A relative model leaves scale and shift free, so
the published protocols fit both to the truth first (Ranftl et al. 2020,
arXiv:1907.01341, section 6); which of the fits below was meant moves the numbers more
than most models do.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64

Method = Literal["scale_shift", "scale", "median", "trimmed", "none"]
Space = Literal["disparity", "depth", "log_depth"]

# Share of the pixels that the trimmed fit keeps, as MiDaS' trimmed loss does.
KEPT = 0.8
_STARTS = 32  # random pairs the trimmed fit starts from, besides all pixels
_SAMPLE = 4096  # pixels on which the starts are compared
_STEPS = 50  # concentration steps at most; ten are usual


@dataclasses.dataclass(frozen=True)
class Alignment:
    """What is fitted before a prediction is compared, and what it is floored at.

    Attributes:
        method: "scale_shift": least squares of both; "scale": of the scale alone;
            "median": the ratio of the two medians, no shift; "trimmed": least squares
            of both over the 80 % of pixels that fit best (least trimmed squares,
            Rousseeuw 1984), so that outliers count for nothing; "none".
        space: what the prediction is, and where the fit happens: "disparity" (inverse
            depth), "depth", or "log_depth" (a positive depth, fitted in its natural
            logarithm, where the scale is an exponent and the shift a factor).
        floor: smallest aligned disparity, 1/m; 1 / max_depth when None. For
            "disparity" only, where it decides how far away sky becomes.

    Raises:
        ValueError: an unknown method or space, or a floor that is not positive.
    """

    method: Method = "scale_shift"
    space: Space = "disparity"
    floor: float | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("align", self.method, get_args(Method)),
            ("space", self.space, get_args(Space)),
        ):
            if value not in known:
                raise ValueError(
                    f"{what} {value!r} is unknown; use one of {', '.join(known)}"
                )
        if self.floor is not None and not 0 < self.floor < np.inf:
            raise ValueError(f"the floor {self.floor!r} must be a number above 0")


@dataclasses.dataclass(frozen=True)
class Aligned:
    """A prediction in metres, and the fit that brought it there.

    Attributes:
        depth: float64 (h, w) metres, clipped to the range of the protocol.
        scale, shift: of the fit, in its space.
        notes: a sentence for everything that makes the fit worth little.
    """

    depth: Float64[np.ndarray, "h w"]
    scale: float
    shift: float
    notes: tuple[str, ...] = ()


def align(
    pred: Float[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    alignment: Alignment,
    min_depth: float,
    max_depth: float,
) -> Aligned:
    """Return the prediction as depth in metres, fitted to the truth and clipped.

    Args:
        pred: the prediction, finite under the mask; what it is says
            `alignment.space`.
        depth: truth in metres, positive under the mask.
        mask: pixels to fit, at least one.
        alignment: what to fit.
        min_depth, max_depth: metres the result is clipped to.

    Raises:
        ValueError: a prediction that is not positive, in log depth.
    """
    pred, safe = pred.astype(np.float64), np.where(mask, depth, 1.0)
    if alignment.space == "log_depth":
        if (pred[mask] <= 0).any():
            raise ValueError(
                "the prediction is not positive on every valid pixel, so it has no "
                "logarithm; align in depth or disparity"
            )
        pred = np.log(np.where(mask, pred, 1.0).clip(np.finfo(float).tiny))
        target = np.log(safe)
    else:
        target = 1 / safe if alignment.space == "disparity" else safe
    x, y = pred[mask], target[mask]
    scale, shift = fit(x, y, alignment.method)
    result = scale * pred + shift
    if alignment.space == "disparity":
        floor = 1 / max_depth if alignment.floor is None else alignment.floor
        result = 1 / np.maximum(result, floor)
    elif alignment.space == "log_depth":
        result = np.exp(np.minimum(result, np.log(max_depth)))
    notes = tuple(_doubts(x, scale, alignment.method))
    return Aligned(np.clip(result, min_depth, max_depth), scale, shift, notes)


def fit(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], method: Method
) -> tuple[float, float]:
    """Return (scale, shift) that bring `x` to `y`, see `Alignment.method`."""
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
    """Return the least squares fit to those of the points that it fits best.

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


def _doubts(x, scale: float, method: Method):
    """Yield a sentence for everything that makes a fit worth little."""
    if np.ptp(x) == 0:
        yield f"the prediction is constant ({x[0]:g}) on every valid pixel"
    elif scale < 0:
        yield (
            f"the fitted scale is negative ({scale:.3g}): the prediction orders near "
            "and far the wrong way round"
        )
    if method in ("scale_shift", "trimmed") and x.size <= 2:
        yield (
            f"{_count(x.size)} fit exactly whatever is predicted, so these metrics say "
            "nothing"
        )
    elif method in ("scale", "median") and x.size == 1:
        yield "one valid pixel fits exactly, so these metrics say nothing"


def _count(n: int) -> str:
    return "one valid pixel" if n == 1 else f"{n} valid pixels"
