"""One range of display for all maps of a model, measured on one's own pictures."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from jax_depth.depth_map import DepthMap, MapKind
from jax_depth.formats.json_file import parse_json, require_regular

PERCENTILES = (2.0, 98.0)
# Values kept of each map: every picture counts the same, whatever its size.
_QUANTILES = np.linspace(0, 1, 1001)
_FORMAT = "jax_depth range calibration"


@dataclasses.dataclass(frozen=True)
class RangeCalibration:
    """The range in which a model's values usually lie, for `DepthMap.normalized`.

    Attributes:
        model: that made the maps.
        kind: of its maps.
        low, high: values at the two percentiles.
        percentiles: of the values of all pictures, each counting the same.
        pictures: how many were measured.
        size: short side in pixels the model saw; None when unknown.

    Raises:
        ValueError: low is not below high, an unknown kind, or no pictures.
    """

    model: str
    kind: MapKind
    low: float
    high: float
    percentiles: tuple[float, float]
    pictures: int
    size: int | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            raise ValueError(f"the range {self.low} to {self.high} is not finite")
        if not self.low < self.high:
            raise ValueError(
                f"the range {self.low:g} to {self.high:g} is empty; calibrate on "
                "pictures that have depth"
            )
        if self.kind not in get_args(MapKind) or self.pictures < 1:
            raise ValueError(
                "a calibration needs at least one picture and a known kind, got "
                f"{self.pictures} pictures of kind {self.kind!r}"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration as JSON; its folder is made if missing.

        Raises:
            OSError: it cannot be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"format": _FORMAT, **dataclasses.asdict(self)}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "RangeCalibration":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError, OSError: it cannot be read.
            ValueError: it is not a calibration; the sentence names the file.
        """
        try:
            if not os.path.isdir(path):  # of which the system says so
                require_regular(path)
            document = parse_json(Path(path).read_text(encoding="utf-8"))
            if document.pop("format") != _FORMAT:
                raise KeyError("format")
            document["percentiles"] = tuple(document["percentiles"])
            return cls(**document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a range calibration of this library ({error}); make "
                "one with `jax-depth calibrate`"
            ) from None


def checked_ends(ends: Any) -> tuple[float, float]:
    """Return the two ends of a range to show.

    Raises:
        ValueError: they are not two finite numbers, low below high. They are compared
            as float32, where very large numbers overflow and very close ones coincide.
    """
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        low = high = 0.0
    with np.errstate(all="ignore"):
        span = np.float32(high) - np.float32(low)
    if not 0 < span < np.inf:
        raise ValueError(
            f"range {ends!r} is not (low, high), two finite numbers, low below high in "
            "float32"
        )
    return low, high


def calibrate(
    maps: Iterable[DepthMap],
    percentiles: tuple[float, float] = PERCENTILES,
    size: int | None = None,
) -> RangeCalibration:
    """Return the range in which the values of a model's maps lie.

    Args:
        maps: of one model, of many pictures; may be a generator, one is held at a time.
        percentiles: that become the ends of the range; the default leaves out 2 % at
            each end, such as a few very near pixels.
        size: to be kept with it.

    Raises:
        ValueError: no maps, of different models or kinds, not finite, or constant.
    """
    known, first = [], None
    for depth in maps:
        first = first or depth
        if (depth.model, depth.kind) != (first.model, first.kind):
            raise ValueError(
                f"maps of {first.model or 'a model'} ({first.kind}) and of "
                f"{depth.model or 'another'} ({depth.kind}) share no range"
            )
        if not np.isfinite(depth.values).all():
            raise ValueError("a map holds values that are NaN or infinite")
        known.append(np.quantile(depth.values.astype(np.float64), _QUANTILES))
    if first is None:
        raise ValueError("no pictures to calibrate on")
    low, high = np.percentile(np.stack(known), percentiles)
    return RangeCalibration(
        first.model,
        first.kind,
        float(low),
        float(high),
        percentiles,
        len(known),
        size,
    )
