"""What an estimator returns: raw values that know what they mean."""

import dataclasses
import os
from typing import Any, Literal, get_args, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Float32

from jax_depth import map_files
from jax_depth.alignment import fit
from jax_depth.metric_fit import (
    MetricFit,
    Points,
    Unknowns,
    by_focal_length,
    fit_metric,
    known_pixels,
)
from jax_depth.sky import SKY, fill_sky

MapKind = Literal["inverse_depth", "depth", "metric_depth"]
Unit = Literal["m"]


# The types say what the fields hold. The constructor takes more (a list, float64, a JAX
# array) and has its own error messages, so the import hook leaves it alone.
@no_type_check
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DepthMap:
    """One depth map at its photo's own size, raw as the network gave it.

    Values are never rescaled to a picture's range. What they mean is `kind`:

    - "inverse_depth": larger is nearer, 0 is infinitely far, no unit. Scale and
      shift are unknown and differ from photo to photo and from checkpoint to
      checkpoint, because the loss these models are trained with is invariant to
      both (Yang et al. 2024, arXiv:2401.10891, section 3.1).
    - "depth": larger is farther, no unit.
    - "metric_depth": larger is farther, metres.

    Attributes:
        values: float32 (h, w), read-only. Anything that NumPy turns into such an
            array is accepted and copied if it could be written to from outside.
        kind: what the values mean.
        unit: "m" for "metric_depth", None otherwise.
        model: name of the model that made the map; "" if unknown.
        max_depth: metres at which a metric model saturates; None otherwise.
        confidence: float32 (h, w), larger where the model is surer; None where the
            model does not say.
        sky: float32 (h, w), sky where it is 0.3 or more; None likewise.
        metres_per_focal: of a map that only lacks a focal length: values times fx
            times the first number plus fy times the second, in pixels of the photo,
            are metres. Not kept in files.

    Raises:
        ValueError: `values` is not two-dimensional or is empty, or kind, unit and
            max_depth contradict each other or max_depth is not a distance.
    """

    values: Float32[np.ndarray, "h w"]
    kind: MapKind
    unit: Unit | None = None
    model: str = ""
    max_depth: float | None = None
    confidence: Float32[np.ndarray, "h w"] | None = None
    sky: Float32[np.ndarray, "h w"] | None = None
    metres_per_focal: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _frozen(self.values))
        for name in ("confidence", "sky"):
            if (layer := getattr(self, name)) is not None:
                layer = _frozen(layer)
                if layer.shape != self.values.shape:
                    raise ValueError(
                        f"{name} is of shape {layer.shape}, the map of "
                        f"{self.values.shape}; give one number for each pixel"
                    )
                object.__setattr__(self, name, layer)
        if self.kind == "metric_depth" and self.unit is None:
            object.__setattr__(self, "unit", "m")
        if self.kind not in get_args(MapKind):
            raise ValueError(
                f"kind {self.kind!r} is unknown; a depth map is one of "
                f"{', '.join(get_args(MapKind))}"
            )
        if self.unit != ("m" if self.kind == "metric_depth" else None):
            raise ValueError(
                f"kind {self.kind!r} and unit {self.unit!r} do not fit; metric_depth "
                "is in 'm', every other kind has no unit (None)"
            )
        if self.max_depth is not None and self.kind != "metric_depth":
            raise ValueError(
                f"max_depth {self.max_depth} was given for kind {self.kind!r}; only "
                "metric_depth has one"
            )
        if self.max_depth is not None and not 0 < self.max_depth < np.inf:
            raise ValueError(f"max_depth {self.max_depth} must be metres above 0")

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that unpickled values are read-only as well.
        return DepthMap, tuple(
            getattr(self, field.name) for field in dataclasses.fields(self)
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.values.shape
        return height, width

    @property
    def near_is_large(self) -> bool:
        """Whether a larger value is nearer to the camera."""
        return self.kind == "inverse_depth"

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the map to `path`, in the format of its suffix.

        `.png` (16 bits, scale and offset recorded inside), `.npy`, `.npz`, `.pfm`,
        `.exr`, `.tiff`; `.npz` and `.exr` keep confidence and sky. For pictures
        and everything else see `jax_depth.outputs.save`, which takes the same
        arguments.

        Raises:
            ValueError: unknown suffix, or values the format cannot hold.
            OSError: the file cannot be written; nothing is left behind.
        """
        map_files.save(self, path, **options)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], kind: MapKind | None = None
    ) -> "DepthMap":
        """Read a depth map by the suffix of its file.

        Args:
            path: `.png` (16 bits, written by this library), `.npy`, `.npz`, `.pfm`,
                `.exr`, `.tiff`, `.tif`.
            kind: what the values are, for a file that does not say so (`.npy`, `.pfm`,
                and files of other programs): "inverse_depth", "depth", "metric_depth".

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: unknown suffix, damaged file, or unknown kind.
        """
        fields = map_files.load_fields(path, kind)
        try:
            return cls(**fields)
        except ValueError as error:
            raise ValueError(
                f"{path} is not a depth map that jax_depth reads: {error}"
            ) from None

    def canonical(self) -> "DepthMap":
        """Return the map with median 0 and mean absolute deviation 1.

        (d - median(d)) / mean|d - median(d)|: the form in which the training loss
        compares maps (Ranftl et al. 2020, arXiv:1907.01341, section 5; Yang et al.
        2024, arXiv:2401.10891, equation 2), so two models or two frames can be
        compared without their arbitrary scale and shift. Computed in float64. A
        metric map loses its metres and becomes "depth".

        Raises:
            ValueError: the map is constant or holds values that are not finite.
        """
        d = self._finite("has no canonical form").astype(np.float64)
        d -= np.median(d)
        deviation = np.mean(np.abs(d))
        if deviation == 0:
            raise ValueError(
                f"the map is constant ({self.values.flat[0]:g} everywhere) and has no "
                "canonical form, since its mean absolute deviation is 0"
            )
        return DepthMap(
            (d / deviation).astype(np.float32),
            kind="inverse_depth" if self.kind == "inverse_depth" else "depth",
            model=self.model,
            confidence=self.confidence,
            sky=self.sky,
        )

    def to_depth(self, floor: float) -> "DepthMap":
        """Return 1 / max(values, floor): inverse depth turned into depth.

        Inverse depth 0 means infinitely far (sky) and a small value is mostly noise,
        so the floor decides how far the farthest point may be: 1 / floor. It is
        in the map's own values; `0.01 * depth.values.max()` allows a depth range
        of 1 : 100. The result has no unit, and since the shift of a relative model
        is unknown it is not proportional to true depth: bring the map to a known
        scale and shift first if that matters.

        Args:
            floor: smallest inverse depth to keep, > 0.

        Raises:
            ValueError: the map is not inverse depth, the floor is not a positive
                number, or values are not finite.
        """
        if self.kind != "inverse_depth":
            raise ValueError(
                f"the map is {self.kind} already; only inverse_depth inverts"
            )
        if not _SMALLEST_FLOOR < floor < np.inf:
            raise ValueError(
                f"floor {floor!r} must be a number above 0; try "
                "0.01 * depth.values.max()"
            )
        d = self._finite("cannot be inverted").astype(np.float64)
        depth = 1 / np.maximum(d, floor)
        return DepthMap(
            depth.astype(np.float32),
            kind="depth",
            model=self.model,
            confidence=self.confidence,
            sky=self.sky,
        )

    def align_to(self, other: "DepthMap") -> "DepthMap":
        """Return the map with the scale and shift that bring it closest to another.

        Least squares over all pixels, in the maps' own values. Two models or two frames
        can then be compared: what is left is disagreement.

        Args:
            other: a map of the same size; both of inverse depth, or neither.

        Returns:
            A map of the other's kind and unit.

        Raises:
            ValueError: sizes or kinds differ, one of the maps is constant or not
                finite, or the fitted scale is not positive: the maps order near and far
                in opposite ways.
        """
        if self.shape != other.shape:
            raise ValueError(
                f"the maps are {self.shape[1]}x{self.shape[0]} and "
                f"{other.shape[1]}x{other.shape[0]}; align maps of one picture"
            )
        if self.near_is_large != other.near_is_large:
            raise ValueError(
                f"{self.kind} cannot be aligned to {other.kind}: no scale and shift "
                "turn one into the other; align both in inverse depth"
            )
        x = self._finite("cannot be aligned").ravel()
        y = other._finite("cannot be aligned to").ravel()
        for name, values in (("this", x), ("the other", y)):
            if values.min() == values.max():
                raise ValueError(
                    f"{name} map is constant ({values[0]:g}), so scale and shift are "
                    "not determined"
                )
        scale, shift = fit(x, y, "scale_shift")
        if not scale > 0:
            raise ValueError(
                f"the fitted scale is {scale:.3g}: the maps order near and far in "
                "opposite ways"
            )
        return DepthMap(
            (scale * self.values.astype(np.float64) + shift).astype(np.float32),
            kind=other.kind,
            unit=other.unit,
            model=self.model,
            max_depth=other.max_depth,
            confidence=self.confidence,
            sky=self.sky,
        )

    def metric_fit(
        self,
        points: Points | None = None,
        *,
        depth: Float[np.ndarray, "h w"] | None = None,
        mask: Bool[np.ndarray, "h w"] | None = None,
        unknowns: Unknowns | None = None,
        max_depth: float | None = None,
    ) -> MetricFit:
        """Return how the map's values become metres; see `to_metric`.

        The fit holds residuals; its `apply` is for further frames of the same scene.
        """
        x, known = known_pixels(self, points, depth, mask)
        if unknowns is None:
            unknowns = "scale" if self.kind == "metric_depth" else "scale_shift"
        return fit_metric(x, known, self.near_is_large, unknowns, max_depth)

    def to_metric(
        self,
        points: Points | None = None,
        *,
        depth: Float[np.ndarray, "h w"] | None = None,
        mask: Bool[np.ndarray, "h w"] | None = None,
        unknowns: Unknowns | None = None,
        max_depth: float | None = None,
        camera: Any = None,
    ) -> "DepthMap":
        """Return the map in metres, from known distances or a focal length.

        Args:
            camera: `Intrinsics` of the photo, or its matrix (3, 3): all that a map of
                Depth Anything 3's metric model lacks. Give nothing else with it.
            points: (x, y, metres) each: column and row of a pixel, counted from 0, and
                its distance along the optical axis. Two are enough, if one is near
                and one far.
            depth: a sensor's metres at the map's size; 0, NaN or infinite where
                unknown. Up to 30 % may be wrong. Give this or `points`.
            mask: where `depth` is to be trusted.
            unknowns: "scale_shift", or "scale" alone; by default the scale of a metric
                map, and both for the other kinds.
            max_depth: metres at which the result is cut off, since inverse depth
                0 is infinitely far; ten times the farthest known distance when None.

        Returns:
            A map of kind "metric_depth". `metric_fit` with the same arguments gives
            residuals.

        Raises:
            ValueError: the fit is not determined, contradicts the map, or a point is
                wrong; the message says which.
        """
        if camera is not None:
            known = (points, depth, mask, unknowns, max_depth)
            return by_focal_length(self, camera, known)
        fitted = self.metric_fit(
            points, depth=depth, mask=mask, unknowns=unknowns, max_depth=max_depth
        )
        values = self._finite("cannot become metres")
        return DepthMap(
            fitted.apply(values, self.near_is_large).astype(np.float32),
            kind="metric_depth",
            unit="m",
            model=self.model,
            max_depth=fitted.max_depth,
            confidence=self.confidence,
            sky=self.sky,
        )

    def sky_filled(self, farthest: float | None = None) -> "DepthMap":
        """Return the map with all sky at the 99th percentile of the rest.

        Confidence of sky becomes 1, the least there is.

        Args:
            farthest: the sky is no farther than this.

        Raises:
            ValueError: the model gives no sky map.
        """
        if self.sky is None:
            raise ValueError(
                f"the map by {self.model or 'an unknown model'} predicted no sky, so "
                "none can be filled; use depth-anything-3-mono-large"
            )
        values = fill_sky(self.values, self.sky, farthest)
        confidence = self.confidence
        if confidence is not None and values is not self.values:
            confidence = np.where(self.sky < SKY, confidence, np.float32(1))
        return dataclasses.replace(self, values=values, confidence=confidence)

    def normalized(
        self, low: float | None = None, high: float | None = None
    ) -> Float32[np.ndarray, "h w"]:
        """Return (values - low) / (high - low), clipped to [0, 1], for display.

        Args:
            low: value that becomes 0; the smallest of this map when None.
            high: value that becomes 1; the largest of this map when None. Give both
                to compare several maps by eye.

        Returns:
            float32 (h, w) in [0, 1]; zeros when low equals high because the map is
            constant. Larger stays larger, whatever the kind.

        Raises:
            ValueError: low is not below high, or values are not finite.
        """
        d = self._finite("cannot be shown")
        start = d.min() if low is None else np.float32(low)
        stop = d.max() if high is None else np.float32(high)
        if start == stop and low is None and high is None:
            return np.zeros_like(d)
        if not (start < stop and np.isfinite(stop - start)):
            raise ValueError(
                f"the range to show, {start:g} to {stop:g}, cannot be used; low must "
                "be below high"
            )
        # Float32 in this order, as run.py of Depth Anything computes its pictures.
        return np.clip((d - start) / (stop - start), np.float32(0), np.float32(1))

    def _finite(self, consequence: str) -> Float32[np.ndarray, "h w"]:
        bad = self.values.size - np.count_nonzero(np.isfinite(self.values))
        if bad:
            raise ValueError(
                f"the map holds {bad} values that are NaN or infinite and {consequence}"
            )
        return self.values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        height, width = self.shape
        unit = f" {self.unit}" if self.unit else ""
        model = f" by {self.model}" if self.model else ""
        return (
            f"DepthMap({height}x{width} {self.kind}, {self.values.min():.4g} to "
            f"{self.values.max():.4g}{unit}{model})"
        )


# Below this 1 / floor overflows float32.
_SMALLEST_FLOOR = 1 / float(np.finfo(np.float32).max)


def _frozen(values: Any) -> Float32[np.ndarray, "h w"]:
    """Return `values` as a read-only float32 (h, w) array that nobody can write to."""
    given = np.asarray(values)
    if given.ndim != 2 or given.size == 0:
        raise ValueError(
            f"a depth map needs an array (h, w) that is not empty, got shape "
            f"{given.shape}"
        )
    # Without a base, read-only is final; a view might be written through its base.
    final = given.dtype == np.float32 and not given.flags.writeable
    array = given if final and given.base is None else given.astype(np.float32)
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
