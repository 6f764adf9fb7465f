"""Least-squares alignment of a prediction to ground truth, in float64."""

import numpy as np
from jaxtyping import Bool, Float


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
    x, y = pred[mask].astype(np.float64), target[mask].astype(np.float64)
    mean_x, mean_y = x.mean(), y.mean()
    x, y = x - mean_x, y - mean_y
    energy = float(x @ x)
    # Below rounding of the mean there is nothing to fit.
    flat = energy <= x.size * (1e-12 * abs(mean_x)) ** 2
    scale = 0.0 if flat else float(x @ y) / energy
    return scale, float(mean_y - scale * mean_x)


def fit_scale(
    pred: Float[np.ndarray, "h w"],
    target: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
) -> float:
    """Return the scale that minimises sum (scale pred - target)^2, 0 for pred 0."""
    x, y = pred[mask].astype(np.float64), target[mask].astype(np.float64)
    energy = float(x @ x)
    return float(x @ y) / energy if energy else 0.0
