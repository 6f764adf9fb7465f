"""One door for every file: `save` and `load`."""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.formats import exr, npy, pfm, png16, tiff
from jax_depth.formats.atomic import atomic
from jax_depth.outputs import pictures


@dataclasses.dataclass(frozen=True)
class Format:
    """A way to write a map.

    Attributes:
        suffixes: of its files, the usual one first.
        summary: a few words for people.
        write: (depth, path, **options) -> None.
        read: (path, kind) -> DepthMap; None for a picture, whose values are lost,
            and where another format with the same suffix reads the file.
    """

    suffixes: tuple[str, ...]
    summary: str
    write: Callable[..., None]
    read: Callable[[Path, str | None], DepthMap] | None = None


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "png16": Format(
            (".png",),
            "16-bit grey, its scale inside the file",
            png16.write_png16,
            png16.read_png16,
        ),
        "png-mm": Format((".png",), "16-bit grey in millimetres", png16.write_png_mm),
        "npy": Format((".npy",), "float32 array", npy.write_npy, npy.read_npy),
        "npz": Format(
            (".npz",),
            "float32 array with kind, unit and model",
            npy.write_npz,
            npy.read_npz,
        ),
        "pfm": Format((".pfm",), "portable float map", pfm.write_pfm, pfm.read_pfm),
        "exr": Format((".exr",), "OpenEXR, channel Z", exr.write_exr, exr.read_exr),
        "tiff": Format(
            (".tiff", ".tif"), "float32 TIFF", tiff.write_tiff, tiff.read_tiff
        ),
        "png8": Format((".png",), "8-bit grey picture", pictures.write_gray),
        "color": Format((".png",), "coloured picture", pictures.write_color),
        "side-by-side": Format(
            (".png",), "photo and coloured picture", pictures.write_side_by_side
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
    depth: DepthMap,
    path: str | os.PathLike[str],
    format: str | None = None,
    **options: Any,
) -> None:
    """Write a depth map to one file, whole or not at all.

    Args:
        depth: the map.
        path: where to; its folder must exist. An existing file is replaced.
        format: a name of `FORMATS`; by the suffix when None: `.png` is "png16".
            "png8", "color" and "side-by-side" are pictures without values.
        **options: of pictures: `low` and `high`, the range to show (this map's own
            by default); `colormap` for "color" and "side-by-side"; `photo`, uint8
            (h, w, 3) RGB, for "side-by-side".

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


def load(path: str | os.PathLike[str], kind: str | None = None) -> DepthMap:
    """Read a depth map by its suffix.

    Args:
        path: `.png` (16 bits, written by this library), `.npy`, `.npz`, `.pfm`,
            `.exr`, `.tiff`, `.tif`.
        kind: what the values are, for a file that does not say so (`.npy`, `.pfm`,
            and files of other programs): "inverse_depth", "depth", "metric_depth".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unknown suffix, damaged file, or unknown kind.
    """
    path = Path(path)
    name = _format_of(path)
    read = FORMATS[name].read
    assert read is not None
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        return read(path, kind)
    except _DAMAGED as error:
        # With a number it is the system's refusal to open a sound file.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, ValueError) and str(path) in str(error):  # our own
            raise
        raise ValueError(f"{path} cannot be read: {error}") from None


# What NumPy, zipfile, Pillow and OpenEXR raise for a file cut short or foreign.
_DAMAGED = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


def _format_of(path: Path) -> str:
    name = _BY_SUFFIX.get(path.suffix.lower())
    if name is None:
        raise ValueError(
            f"{path} has the suffix {path.suffix or '(none)'}, which no depth format "
            f"uses; supported: {', '.join(_BY_SUFFIX)}"
        )
    return name
