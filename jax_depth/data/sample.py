"""One picture and what is known about its depth; the two ways data can be wrong."""

import dataclasses
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from jax_depth.camera import Intrinsics

Kind = Literal["metric_depth", "depth", "inverse_depth"]

# Kind -> units a target of that kind may be in; None is an unknown scale (and, for
# inverse depth, an unknown shift).
UNITS: dict[str, tuple[str | None, ...]] = {
    "metric_depth": ("m",),
    "depth": (None,),
    "inverse_depth": ("1/m", None),
}


class DatasetError(ValueError):
    """A dataset as a whole cannot be used; the message names it."""


class SampleError(ValueError):
    """One sample cannot be used; the message names it and the reason."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """A picture and, unless it is unlabelled, its depth at the same size.

    `kind` and `unit` say what the target's values are:

    - "metric_depth", "m": distance along the optical axis, not along the ray.
    - "depth", None: the same up to an unknown factor.
    - "inverse_depth", "1/m": its inverse; 0 is infinitely far.
    - "inverse_depth", None: up to an unknown factor and shift, as relative models
      predict it.

    Attributes:
        rgb: uint8 (h, w, 3), sRGB.
        target: float32 (h, w), 0 outside the mask; None without labels.
        mask: bool (h, w), where the target is known; None without labels. There the
            target is finite and, unless its shift is unknown, positive (inverse depth:
            not negative).
        kind: what the target's values are; None without labels.
        unit: of the target's values.
        name: unique in its dataset and stable, for messages and lists.
        intrinsics: the camera, where the dataset tells.

    Raises:
        ValueError: types, shapes, kind or unit are not as above.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    target: Float32[np.ndarray, "h w"] | None
    mask: Bool[np.ndarray, "h w"] | None
    kind: Kind | None
    unit: str | None
    name: str
    intrinsics: Intrinsics | None = None

    def __post_init__(self) -> None:
        rgb = self.rgb
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(
                f"{self.name}: rgb must be uint8 (h, w, 3), not {rgb.dtype} {rgb.shape}"
            )
        if self.target is None and self.mask is None and self.kind is None:
            return
        if self.target is None or self.mask is None or self.kind is None:
            raise ValueError(
                f"{self.name}: target, mask and kind must be given together"
            )
        if self.kind not in get_args(Kind) or self.unit not in UNITS[self.kind]:
            raise ValueError(
                f"{self.name}: a target of kind {self.kind!r} in unit {self.unit!r} is "
                f"unknown; known: {UNITS}"
            )
        for field, dtype in (("target", np.float32), ("mask", np.bool_)):
            array = getattr(self, field)
            if array.dtype != dtype or array.shape != rgb.shape[:2]:
                raise ValueError(
                    f"{self.name}: {field} must be {np.dtype(dtype)} {rgb.shape[:2]}, "
                    f"not {array.dtype} {array.shape}"
                )

    def inverse_depth(
        self,
    ) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Return inverse depth, 0 outside the mask, and the mask: float32, bool (h, w).

        In 1/m for metric depth; up to scale for "depth"; unchanged otherwise.

        Raises:
            ValueError: the sample has no labels.
        """
        target, mask = self._labels()
        if self.kind == "inverse_depth":
            return target, mask
        return _inverse(target, mask), mask

    def metric_depth(
        self,
    ) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Return metres, 0 outside the mask, and the mask: float32, bool (h, w).

        What is infinitely far is outside the mask.

        Raises:
            ValueError: the sample has no labels, or none in metres.
        """
        target, mask = self._labels()
        if self.unit is None:
            raise ValueError(
                f"{self.name}: {self.kind} without a unit cannot become metres; use "
                "data whose targets are metric, or a relative loss"
            )
        if self.kind == "metric_depth":
            return target, mask
        mask = mask & (target > 0)
        return _inverse(target, mask), mask

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        if self.target is None or self.mask is None:
            raise ValueError(
                f"{self.name}: the sample has no depth; label its dataset first, see "
                "`jax-depth label`"
            )
        return self.target, self.mask


def labelled_sample(
    rgb: np.ndarray,
    values: np.ndarray,
    kind: Kind,
    unit: str | None,
    name: str,
    *,
    valid: np.ndarray | None = None,
    far: float = np.inf,
    intrinsics: Intrinsics | None = None,
) -> Sample:
    """Make a sample whose mask covers the meaningful values.

    NaN, infinity, depth <= 0, negative inverse depth (unless its shift is unknown),
    and depth beyond `far` are outside the mask.

    Args:
        rgb: uint8 (h, w, 3).
        values: (h, w), in `unit`.
        kind: of the values.
        unit: of the values.
        name: of the sample.
        valid: bool (h, w) of the dataset's own; everywhere when None.
        far: largest depth to believe, in the values' unit.
        intrinsics: of the camera.

    Raises:
        SampleError: sizes differ, or nothing is valid.
    """
    for what, array in (("depth", values), ("mask", valid)):
        if array is not None and array.shape != rgb.shape[:2]:
            raise SampleError(
                f"its picture is {_size(rgb)} but its {what} is {_size(array)}"
            )
    values = np.asarray(values)
    whole = values.dtype.kind in "biu"
    mask = np.ones(values.shape, bool) if whole else np.isfinite(values)
    if kind != "inverse_depth":
        mask &= values > 0
        if far < np.inf:
            mask &= values <= far
    elif unit is not None:
        mask &= values >= 0
    if valid is not None:
        mask &= valid
    if not mask.any():
        raise SampleError("it has no pixel with a valid depth")
    if not mask.all():
        values = np.where(mask, values, np.zeros((), values.dtype))
    target = values.astype(np.float32, copy=False)
    return Sample(rgb, target, mask, kind, unit, name, intrinsics)


def _inverse(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    one = np.float32(1)
    return np.where(mask, one / np.where(mask, values, one), np.float32(0))


def _size(array: np.ndarray) -> str:
    if array.ndim < 2:
        return f"an array of shape {array.shape}"
    return f"{array.shape[1]}x{array.shape[0]}"
