"""A depth map as a file: the formats, and what is stored beside the values."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jax_depth.formats.atomic import atomic
from jax_depth.formats.exr import read_exr, write_exr
from jax_depth.formats.npy import read_npy, read_npz, write_npy, write_npz
from jax_depth.formats.pfm import read_pfm, write_pfm
from jax_depth.formats.png16 import TOP, read_png, write_png16
from jax_depth.formats.stored import Stored, naming
from jax_depth.formats.tiff import read_tiff, write_tiff

_MILLIMETRE = 0.001
_LAYERS = ("confidence", "sky")


@dataclasses.dataclass(frozen=True)
class Format:
    """A way to write a map.

    Attributes:
        suffixes: of its files, the usual one first.
        summary: a few words for people.
        write: (depth, path, **options) -> None.
        read: path -> `Stored`; None for a picture, whose values are lost, and where
            another format with the same suffix reads the file.
    """

    suffixes: tuple[str, ...]
    summary: str
    write: Callable[..., None]
    read: Callable[[Path], Stored] | None = None


def to_texts(depth: Any) -> dict[str, str]:
    """Return what a map is besides its values; absent means None or ""."""
    texts = {"kind": depth.kind}
    if depth.unit is not None:
        texts["unit"] = depth.unit
    if depth.model:
        texts["model"] = depth.model
    if depth.max_depth is not None:
        texts["max_depth"] = repr(float(depth.max_depth))
    return texts


def spread_over_16_bits(
    depth: Any, path: Path, extremes: tuple[float, float] | None = None
) -> None:
    """Write a PNG with the map's whole range spread over 0 to 65535.

    Reading it back is exact to half a step, (max - min) / 131070, and to float32.

    Args:
        depth: the map.
        path: of the file.
        extremes: values to spread instead, such as the smallest and the largest of
            several maps, which then share one scale; none may lie outside.

    Raises:
        ValueError: values are not finite, or lie outside `extremes`.
    """
    _require_finite(depth, "a 16-bit PNG")
    low, high = float(depth.values.min()), float(depth.values.max())
    if extremes is not None:
        if low < extremes[0] or high > extremes[1]:
            raise ValueError(
                f"the map spans {low:g} to {high:g}, more than {extremes[0]:g} to "
                f"{extremes[1]:g}"
            )
        low, high = extremes
    # Any scale describes a constant map; 1 keeps readers from dividing by zero.
    scale = (high - low) / TOP or 1.0
    write_png16(path, depth.values, scale, low, to_texts(depth))


def _in_millimetres(depth: Any, path: Path) -> None:
    """Write metric depth as depth cameras do."""
    if depth.kind != "metric_depth":
        raise ValueError(
            f"png-mm needs metric_depth, but the map is {depth.kind}; use png16"
        )
    _require_finite(depth, "a PNG in millimetres")
    low, high = float(depth.values.min()), float(depth.values.max())
    if low < 0 or high / _MILLIMETRE > TOP:
        raise ValueError(
            f"the map spans {low:g} m to {high:g} m, but 16 bits of millimetres reach "
            "from 0 to 65.535 m; use png16"
        )
    write_png16(path, depth.values, _MILLIMETRE, 0.0, to_texts(depth))


def _require_finite(depth: Any, format_name: str) -> None:
    bad = depth.values.size - np.count_nonzero(np.isfinite(depth.values))
    if bad:
        raise ValueError(
            f"the map holds {bad} values that are NaN or infinite, which {format_name} "
            "cannot hold; save it as .npy, .npz, .pfm, .exr or .tiff"
        )


def _layers(depth: Any) -> dict[str, np.ndarray]:
    found = {name: getattr(depth, name) for name in _LAYERS}
    return {name: layer for name, layer in found.items() if layer is not None}


def _picture(name: str) -> Callable[..., None]:
    def write(depth: Any, path: Path, **options: Any) -> None:
        # Late, since pictures are made of depth maps.
        from jax_depth.outputs import pictures

        getattr(pictures, name)(depth, path, **options)

    return write


@naming
def _read_scaled_png(path: Path) -> Stored:
    stored = read_png(path)
    if "scale" not in stored.texts:
        raise ValueError(
            f"{path} carries no depth-scale and depth-offset: it is a picture, not a "
            "16-bit depth map written by jax_depth"
        )
    return stored


def _read_float_tiff(path: Path) -> Stored:
    stored = read_tiff(path)
    if stored.values.dtype != np.float32:
        raise ValueError(
            f"{path} has {stored.values.dtype} pixels, not one float32 channel"
        )
    return stored


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "png16": Format(
            (".png",),
            "16-bit grey, its scale inside the file",
            spread_over_16_bits,
            _read_scaled_png,
        ),
        "png-mm": Format((".png",), "16-bit grey in millimetres", _in_millimetres),
        "npy": Format(
            (".npy",),
            "float32 array",
            lambda depth, path: write_npy(path, depth.values),
            read_npy,
        ),
        "npz": Format(
            (".npz",),
            "float32 array with kind, unit and model",
            lambda depth, path: write_npz(
                path, depth.values, to_texts(depth), _layers(depth)
            ),
            read_npz,
        ),
        "pfm": Format(
            (".pfm",),
            "portable float map",
            lambda depth, path: write_pfm(path, depth.values),
            read_pfm,
        ),
        "exr": Format(
            (".exr",),
            "OpenEXR, channel Z",
            lambda depth, path: write_exr(
                path, depth.values, to_texts(depth), _layers(depth)
            ),
            read_exr,
        ),
        "tiff": Format(
            (".tiff", ".tif"),
            "float32 TIFF",
            lambda depth, path: write_tiff(path, depth.values, to_texts(depth)),
            _read_float_tiff,
        ),
        "png8": Format((".png",), "8-bit grey picture", _picture("write_gray")),
        "color": Format((".png",), "coloured picture", _picture("write_color")),
        "side-by-side": Format(
            (".png",), "photo and coloured picture", _picture("write_side_by_side")
        ),
    }
)

_BY_SUFFIX = {
    suffix: name
    for name, format in FORMATS.items()
    if format.read is not None
    for suffix in format.suffixes
}


def save(
    depth: Any,
    path: str | os.PathLike[str],
    format: str | None = None,
    **options: Any,
) -> None:
    """Write a depth map to one file, whole or not at all.

    Args:
        depth: the `DepthMap`. `.npz` and `.exr` keep its confidence and sky as well.
        path: where to; its folder must exist. An existing file is replaced.
        format: a name of `FORMATS`; by the suffix when None: `.png` is "png16".
            "png8", "color" and "side-by-side" are pictures without values.
        **options: of pictures: `low` and `high`, the range to show (this map's own
            by default); `colormap` for "color" and "side-by-side"; `photo`, uint8
            (h, w, 3) RGB (OpenCV's BGR is `photo[..., ::-1]`), for "side-by-side";
            `legend=True` for words below that say which end is near.

    Raises:
        ValueError: unknown format or suffix, no photo where one belongs, or values the
            format cannot hold.
        OSError: the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    name = _format_of(path) if format is None else format
    if name not in FORMATS:
        raise ValueError(f"format {name!r} is unknown; known: {', '.join(FORMATS)}")
    if path.suffix.lower() not in FORMATS[name].suffixes:
        raise ValueError(
            f"{path} does not end in {FORMATS[name].suffixes[0]}, the suffix of "
            f"format {name!r}"
        )
    if name == "side-by-side" and options.get("photo") is None:
        raise ValueError(f"{path}: side-by-side needs the picture, photo=...")
    with atomic(path) as temporary:
        FORMATS[name].write(depth, temporary, **options)


def load_fields(path: str | os.PathLike[str], kind: str | None) -> dict[str, Any]:
    """Read the fields of a `DepthMap`; see `DepthMap.load`."""
    path = Path(path)
    read = FORMATS[_format_of(path)].read
    assert read is not None
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    stored = read(path)
    texts = stored.texts
    said = texts.get("kind")
    if said is None and kind is None:
        raise ValueError(
            f"{path} does not say what its values are; pass kind='inverse_depth', "
            "'depth' or 'metric_depth'"
        )
    if said is not None and kind is not None and said != kind:
        raise ValueError(f"{path} holds {said}, not {kind}")
    fields: dict[str, Any] = {"values": stored.values, "kind": said or kind}
    if "unit" in texts:
        fields["unit"] = texts["unit"]
    if "model" in texts:
        fields["model"] = texts["model"]
    if "max_depth" in texts:
        try:
            fields["max_depth"] = float(texts["max_depth"])
        except ValueError:
            raise ValueError(
                f"{path} says max_depth is {texts['max_depth']!r}, not a number"
            ) from None
    return fields | {n: a for n, a in stored.layers.items() if n in _LAYERS}


def _format_of(path: Path) -> str:
    name = _BY_SUFFIX.get(path.suffix.lower())
    if name is None:
        raise ValueError(
            f"{path} has the suffix {path.suffix or '(none)'}, which no depth format "
            f"uses; supported: {', '.join(_BY_SUFFIX)}"
        )
    return name
