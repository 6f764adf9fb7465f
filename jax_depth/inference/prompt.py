"""Read a photo's coarse depth map, convert it to metres and fill its holes.

Sensors mark what they did not see by 0, NaN or infinity. The network treats every
number as a measurement, and a single NaN makes its whole result NaN, so unknown values
are filled first.
"""

import os
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from jax_depth.depth_map import DepthMap
from jax_depth.formats.maps import METRES, read_map
from jax_depth.formats.stored import Stored, numbers

# Known values that fill an unknown one (DepthAnything/PromptDA#3: k = 4).
_NEIGHBOURS = 4
# Metres of the farthest known value outside which a unit is taken for wrong. Nobody
# stores metres as whole numbers, so the bound for those is lower.
_LEAST, _MOST, _MOST_WHOLE = 0.01, 1000.0, 100.0
# How much better a prompt must fit the photo when turned by 90 degrees.
_TURNED = 0.1


def read_prompt(
    lidar: Any, unit: str = "m", name: str | None = None
) -> Float32[np.ndarray, "h w"]:
    """Return the prompt in metres, with unknown values filled.

    Args:
        lidar: coarse depth of any size: a file that `formats.maps.read_map` reads
            (16-bit PNG, npy, npz, pfm, exr, tiff), an array (h, w) of real numbers, or
            a `DepthMap` in metres. NaN, infinite and non-positive values are unknown.
        unit: of its numbers: "m", "cm", "mm", "km" or "in". A file that states its own
            unit keeps it. A 16-bit PNG that states none is read as millimetres if this
            is "m", because that is what sensors write.
        name: what messages call it; its path by default.

    Unknown values become the mean of the four nearest known ones, weighted by nearness,
    with a warning that says how many there were.

    Raises:
        ValueError: the prompt is not of shape (h, w), has no known value, has values
            that are implausible in that unit, or is not depth in metres.
        FileNotFoundError, OSError: the file cannot be read.
    """
    if unit not in METRES:
        raise ValueError(f"unit {unit!r} is unknown; use one of {', '.join(METRES)}")
    path = isinstance(lidar, str | os.PathLike)
    label = repr(name or os.fspath(lidar)) if name or path else "the prompt"
    stored = _stored(lidar, label)
    if "kind" in stored.texts or "unit" in stored.texts:
        unit = _own_unit(stored, label)
    values = numbers(np.asarray(stored.values), label)
    whole = values.dtype.kind in "iu"
    if path and whole and unit == "m" and os.fspath(lidar).lower().endswith(".png"):
        if values.dtype.itemsize == 1:
            raise ValueError(
                f"{label} has 8-bit pixels, so it is a picture of a depth map and not "
                "its values; give the sensor's own map, a 16-bit PNG in millimetres "
                "for example"
            )
        unit = "mm"
    metres = values.astype(np.float64) * METRES[unit]
    known = np.isfinite(metres) & (metres > 0)
    if not known.any():
        raise ValueError(
            f"{label} is empty: none of its {metres.size} values is a distance above 0"
        )
    _check_unit(float(metres[known].max()), unit, whole, label)
    unknown = metres.size - int(known.sum())
    if unknown:
        warnings.warn(
            f"{label}: {unknown} of {metres.size} values are unknown (NaN, infinite, 0 "
            "or below) and are filled from their neighbours",
            stacklevel=1,
        )
    return filled(np.where(known, metres, np.nan))


def filled(metres: Float[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return a map with every NaN replaced from the nearest known values.

    Args:
        metres: with one known value at least.
    """
    known = np.isfinite(metres)
    values = metres.astype(np.float32)
    if known.all():
        return values
    from scipy.spatial import KDTree

    count = min(_NEIGHBOURS, int(known.sum()))
    nearest: Any = np.arange(1, count + 1)  # an array, so that one has its axis too
    distance, index = KDTree(np.argwhere(known)).query(np.argwhere(~known), nearest)
    weight = 1 / distance
    found = metres[known][index]
    mean = (weight * found).sum(1) / weight.sum(1)
    # A mean of equal numbers is that number, but for rounding.
    values[~known] = np.clip(mean, found.min(1), found.max(1))
    return values


def check_upright(
    prompt: Float32[np.ndarray, "h w"], photo: tuple[int, int], name: str | None
) -> None:
    """Refuse a landscape prompt for a portrait photo, or the other way round.

    Phones store the photo with an EXIF orientation, and its depth without one.

    Args:
        prompt: the map.
        photo: rows and columns of the photo as read, upright.
        name: of the prompt, for the message.
    """
    rows, columns = prompt.shape
    own, wanted = np.log(columns / rows), np.log(photo[1] / photo[0])
    if abs(own - wanted) > _TURNED and abs(own + wanted) < _TURNED:
        label = repr(name) if name else "the prompt"
        raise ValueError(
            f"{label} is {columns} x {rows}, but its photo is {photo[1]} x {photo[0]} "
            "after its EXIF orientation is applied; turn the prompt by 90 degrees the "
            "same way"
        )


def _stored(lidar: Any, label: str) -> Stored:
    if isinstance(lidar, DepthMap):
        if lidar.kind != "metric_depth":
            raise ValueError(f"{label} is a map of {lidar.kind}, not of metres")
        return Stored(lidar.values)
    if isinstance(lidar, str | os.PathLike):
        return read_map(os.fspath(lidar))
    try:
        return Stored(np.asarray(lidar))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{label} is not an array (h, w) of numbers: {error}"
        ) from None


def _own_unit(stored: Stored, label: str) -> str:
    """Return the unit that a file written by this library states."""
    kind = stored.texts.get("kind", "metric_depth")
    if kind != "metric_depth":
        raise ValueError(f"{label} holds {kind}, not metres")
    unit = stored.texts.get("unit", "m")
    if unit not in METRES:
        raise ValueError(f"{label} states the unit {unit!r}, which is not a length")
    return unit


def _check_unit(farthest: float, unit: str, whole: bool, label: str) -> None:
    most = _MOST_WHOLE if whole else _MOST
    if _LEAST <= farthest <= most:
        return
    hint = "they look like millimetres: unit='mm'" if unit == "m" else "check the unit"
    if farthest < _LEAST:
        hint = "check the unit"
    raise ValueError(
        f"{label}: its largest value would be {farthest:g} m if the unit were {unit}, "
        f"which no depth sensor measures; {hint} (--prompt-unit on the command line)"
    )
