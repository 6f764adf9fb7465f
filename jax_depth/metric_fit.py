"""Fitting a depth map to known distances: points, a sensor, another map."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64

from jax_depth.alignment import fit, fit_trimmed
from jax_depth.camera import focal_lengths

if TYPE_CHECKING:
    from jax_depth.depth_map import DepthMap

Unknowns = Literal["scale_shift", "scale"]
# (x, y, metres) each, of any kind of number.
Points = Iterable[Sequence[Any]]

# From so many known distances on, the fit may leave out those that fit worst.
_ENOUGH_TO_TRIM = 8
_KEPT = 0.7  # lidar and stereo: up to 30 % on the wrong surface
# Farthest depth of the result, in terms of the farthest known distance.
_REACH = 10.0
# Median relative residual from which the map and the distances are not of one scene.
_WRONG = 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class MetricFit:
    """How a map's values become metres, and how well the known distances agree.

    Attributes:
        scale, shift: 1 / metres = scale value + shift for inverse depth, metres =
            scale value + shift for the other kinds.
        known: float64 (n,) metres that were given.
        fitted: float64 (n,) metres that the fit gives there.
        used: bool (n,), False for those a robust fit left out.
        uncertainty: standard error of the scale, relative to it; 0 where as many
            distances as unknowns leave nothing to judge by.
        max_depth: metres; farther is cut off.
    """

    scale: float
    shift: float
    known: Float64[np.ndarray, " n"]
    fitted: Float64[np.ndarray, " n"]
    used: Bool[np.ndarray, " n"]
    uncertainty: float
    max_depth: float

    @property
    def residuals(self) -> Float64[np.ndarray, " n"]:
        """(fitted - known) / known of every known distance."""
        return (self.fitted - self.known) / self.known

    def apply(
        self, values: Float[np.ndarray, "h w"], inverse: bool
    ) -> Float64[np.ndarray, "h w"]:
        """Return metres of a map's values, at most `max_depth`, at least 0."""
        return to_metres(values, self.scale, self.shift, inverse, self.max_depth)


def fit_metric(
    values: Float[np.ndarray, " n"],
    known: Float[np.ndarray, " n"],
    inverse: bool,
    unknowns: Unknowns,
    max_depth: float | None,
) -> MetricFit:
    """Fit values of a map to known distances.

    Up to seven distances are all trusted (least squares); of eight or more, the 70 %
    that agree best decide (least trimmed squares), then all that lie within 2.5
    robust standard deviations of those.

    Args:
        values: the map's values where distances are known, finite.
        known: metres, positive.
        inverse: whether the values are inverse depth.
        unknowns: what to fit.
        max_depth: metres; ten times the farthest known distance when None.

    Raises:
        ValueError: an option is impossible, or the fit is not determined: too few
            distances, all at one value of the map, too uncertain, or the wrong way
            round. The message says which.
    """
    if unknowns not in get_args(Unknowns):
        raise ValueError(
            f"unknowns {unknowns!r} is not known; use {' or '.join(get_args(Unknowns))}"
        )
    if max_depth is not None and not 0 < max_depth < np.inf:
        raise ValueError(f"max_depth {max_depth} must be metres above 0")
    x = values.astype(np.float64)
    known = known.astype(np.float64)
    y = 1 / known if inverse else known
    needed = 2 if unknowns == "scale_shift" else 1
    if x.size < needed:
        raise ValueError(
            f"{x.size} known distances do not determine {_said(unknowns)}; give at "
            f"least {needed}, at different depths"
        )
    if unknowns == "scale_shift" and np.ptp(x) <= 1e-6 * np.abs(x).max():
        raise ValueError(
            f"the map has the same value ({x[0]:g}) at all {x.size} known distances, "
            "so scale and shift are not determined; give distances of nearer and "
            "farther things"
        )
    (scale, shift), used = _robust(x, y, unknowns)
    if not scale > 0:
        raise ValueError(
            f"the known distances contradict the map (the fitted scale is "
            f"{scale:.3g}): what they call nearer lies farther in the map; check "
            "their positions and that they are distances, not disparities"
        )
    uncertainty = _uncertainty(x[used], y[used], scale, shift, needed)
    if uncertainty > 0.5:
        raise ValueError(
            f"the fit is not determined: its scale is uncertain by {uncertainty:.0%}, "
            f"from {int(used.sum())} distances between {known.min():.3g} and "
            f"{known.max():.3g} m; give more of them, at more different depths"
        )
    far = _REACH * float(known.max()) if max_depth is None else max_depth
    fitted = to_metres(x, scale, shift, inverse, far)
    off = float(np.median(np.abs(fitted - known) / known))
    if off > _WRONG:
        raise ValueError(
            f"the map does not explain the known distances: half of the {x.size} are "
            f"off by more than {off:.0%} after the fit; check their positions, and "
            "that the sensor's picture is that of the map"
        )
    return MetricFit(scale, shift, known, fitted, used, uncertainty, far)


def known_pixels(
    depth_map: "DepthMap",
    points: Points | None,
    depth: Float[np.ndarray, "h w"] | None,
    mask: Bool[np.ndarray, "h w"] | None,
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return a map's values where distances are known, and the metres.

    Args:
        depth_map: the map.
        points, depth, mask: as in `DepthMap.to_metric`.

    Raises:
        ValueError: both or neither are given, sizes differ, the map is not finite
            there, or as `at_points`.
    """
    if (points is None) == (depth is None):
        raise ValueError("give points or depth, one of the two")
    if points is not None:
        x, known = at_points(depth_map, points)
    else:
        metres = np.asarray(depth, np.float64)
        if metres.shape != depth_map.shape:
            raise ValueError(
                f"the known depth has shape {metres.shape}, the map {depth_map.shape}"
            )
        where = np.isfinite(metres) & (metres > 0)
        if mask is not None:
            believed = np.asarray(mask, bool)
            if believed.shape != depth_map.shape:
                raise ValueError(
                    f"the mask has shape {believed.shape}, the map {depth_map.shape}"
                )
            where &= believed
        x, known = depth_map.values[where].astype(np.float64), metres[where]
    if not np.isfinite(x).all():
        raise ValueError("the map is not finite at every known distance")
    return x, known


def at_points(
    depth: "DepthMap", points: Points
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return a map's values at (x, y, metres), nearest pixel, and the metres.

    Raises:
        ValueError: a point is not three numbers, lies outside, or has no distance.
    """
    height, width = depth.shape
    values, known = [], []
    for point in points:
        try:
            x, y, metres = (float(number) for number in point)
        except (TypeError, ValueError):
            raise ValueError(
                f"the point {point!r} must be (x, y, metres), x to the right"
            ) from None
        if not (-0.5 <= x < width - 0.5 + 1e-9 and -0.5 <= y < height - 0.5 + 1e-9):
            raise ValueError(
                f"the point x {x:g}, y {y:g} lies outside the map of {width}x{height}"
            )
        if not 0 < metres < np.inf:
            raise ValueError(
                f"the distance {metres:g} at x {x:g}, y {y:g} is not a depth"
            )
        row, column = min(round(y), height - 1), min(round(x), width - 1)
        values.append(float(depth.values[row, column]))
        known.append(metres)
    return np.array(values), np.array(known)


def to_metres(values, scale: float, shift: float, inverse: bool, far: float):
    """Return metres of values under a fit; from 0 to `far`."""
    result = scale * np.asarray(values, np.float64) + shift
    if inverse:
        result = 1 / np.maximum(result, 1 / far)
    return np.clip(result, 0, far)


def _robust(x, y, unknowns: Unknowns):
    """Return (scale, shift) and which points they were fitted to."""
    method = "scale_shift" if unknowns == "scale_shift" else "scale"
    used = np.ones(x.size, bool)
    if x.size < _ENOUGH_TO_TRIM:
        return fit(x, y, method), used
    if unknowns == "scale_shift":
        scale, shift = fit_trimmed(x, y, _KEPT)
    else:
        # Zero is a common value of inverse depth and says nothing about a scale.
        scale, shift = float(np.median(y[x != 0] / x[x != 0])) if x.any() else 0.0, 0.0
    residual = np.abs(scale * x + shift - y)
    # 1.4826 makes the median absolute deviation that of a normal distribution.
    spread = 1.4826 * np.median(residual)
    used = residual <= max(2.5 * spread, 1e-9 * np.abs(y).max())
    return fit(x[used], y[used], method), used


def _uncertainty(x, y, scale: float, shift: float, unknowns: int) -> float:
    if x.size <= unknowns:
        return 0.0
    residual = scale * x + shift - y
    variance = float(residual @ residual) / (x.size - unknowns)
    centred = x - x.mean() if unknowns == 2 else x
    return float(np.sqrt(variance / (centred @ centred)) / scale)


def _said(unknowns: Unknowns) -> str:
    return "scale and shift" if unknowns == "scale_shift" else "a scale"


def by_focal_length(
    depth: "DepthMap", camera: Any, known: Sequence[Any] = ()
) -> "DepthMap":
    """Return a `DepthMap` that only lacked a focal length in metres.

    Args:
        depth: the map.
        camera: `Intrinsics` of the photo, or its matrix (3, 3).
        known: distances that were given as well, each None if not.

    Raises:
        ValueError: the map lacks more than that, or distances were given too.
    """
    if any(x is not None for x in known):
        raise ValueError("give a camera or known distances, not both")
    if depth.metres_per_focal is None:
        raise ValueError(
            f"a camera gives no metres for a map of kind {depth.kind!r} by "
            f"{depth.model or 'an unknown model'}; that is for "
            "depth-anything-3-metric-large, fresh from its estimator: give known "
            "distances"
        )
    (fx, fy), (across, down) = focal_lengths(camera), depth.metres_per_focal
    return dataclasses.replace(
        depth,
        values=depth.values * np.float32(fx * across + fy * down),
        kind="metric_depth",
        unit="m",
        metres_per_focal=None,
    )
