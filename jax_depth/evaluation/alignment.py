"""Bringing a prediction to the scale of the truth.

Everything is float64, of one image. A relative model leaves scale and shift free, so
the published protocols fit both to the truth first (Ranftl et al. 2020,
arXiv:1907.01341, section 6); the choice among the fits below moves the numbers more
than most models do.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64

from jax_depth.alignment import Method, fit

Space = Literal["disparity", "depth", "log_depth"]


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
        notes: a sentence for each reason to doubt the fit.
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
        pred: the prediction, finite under the mask; `alignment.space` says what it is.
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


def _doubts(x, scale: float, method: Method):
    """Yield a sentence for each reason to doubt a fit."""
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
