"""OpenEXR of float32: the depth as channel Z, and once more as Y.

Z is what renderers and Nuke call depth and what Video-Depth-Anything writes. Programs
that show or read luminance and colours alone, OpenCV and most viewers among them, take
Y: without it OpenCV reads zeros.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float32

from jax_depth.formats.optional import optional_module
from jax_depth.formats.stored import Stored, naming

_CHANNEL, _SHOWN = "Z", "Y"
_COLOURS = ("R", "G", "B")


def write_exr(
    path: Path,
    values: Float32[np.ndarray, "h w"],
    texts: Mapping[str, str],
    layers: Mapping[str, np.ndarray],
) -> None:
    """Write the values as Z and Y, losslessly compressed, and every layer as a channel.

    Raises:
        ValueError: the OpenEXR package is not installed.
        OSError: the file cannot be written.
    """
    openexr = openexr_module()
    header = {
        "compression": openexr.ZIP_COMPRESSION,
        "type": openexr.scanlineimage,
        **texts,
    }
    channels = {_CHANNEL: values, _SHOWN: values, **layers}
    channels = {name: np.ascontiguousarray(array) for name, array in channels.items()}
    try:
        with openexr.File(header, channels) as file:
            file.write(str(path))
    except RuntimeError as error:
        raise OSError(f"OpenEXR could not write the file: {error}") from None


@naming
def read_exr(path: Path | str, channel: str | None = None) -> Stored:
    """Read one channel, the texts of the header, and our layers.

    Args:
        path: of the file.
        channel: its name; when None the only one, else Z, the Z of a layer (Blender's
            "ViewLayer.Depth.Z"), Y, or grey written three times over as R, G and B,
            whichever is first there, in any part of the file.

    Raises:
        OSError, ValueError: missing or damaged, no such channel, or the OpenEXR
            package is not installed.
    """
    openexr = openexr_module()
    if not Path(path).exists():
        raise FileNotFoundError(2, "does not exist", str(path))
    with openexr.File(str(path), separate_channels=True) as file:
        parts = [(part.channels, part.header) for part in file.parts]
        name, channels, header = _choose(parts, channel, path)
        values = np.array(channels[name].pixels, dtype=np.float32)
        texts = {key: text for key, text in header.items() if isinstance(text, str)}
        # Grey written three times is not a layer: ours are beside a Z.
        ours = name == _CHANNEL and "kind" in texts
        layers = {
            other: np.array(found.pixels, dtype=np.float32)
            for other, found in channels.items()
            if ours and other not in (name, _SHOWN)
        }
    return Stored(values, texts, layers)


def _choose(
    parts: list[tuple[Mapping[str, Any], Mapping[str, Any]]],
    wanted: str | None,
    path: Path | str,
) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Return the name of the channel of depth, and the part that it is in."""
    names = [name for channels, _ in parts for name in channels]
    if not names:
        raise ValueError(f"{path} is damaged: none of its channels can be read")
    rules = [lambda name: name == _CHANNEL, _is_depth_of_a_layer]
    rules += [lambda name: name == _SHOWN, lambda name: name == "G"]
    if wanted is not None:
        rules = [lambda name: name == wanted]
    elif len(names) == 1:
        rules = [lambda _: True]
    for rule in rules:
        for channels, header in parts:
            name = next((name for name in channels if rule(name)), None)
            if name is None:
                continue
            if wanted is None and name == "G" and not _is_grey(channels):
                raise ValueError(
                    f"{path} is a picture: its channels {', '.join(names)} are colours "
                    "and none of them is depth (Z or Y)"
                )
            return name, channels, header
    looked_for = wanted or "Z or Y or G"
    raise ValueError(f"{path} has no channel {looked_for} (it has: {', '.join(names)})")


def _is_depth_of_a_layer(name: str) -> bool:
    """Tell "depth.Z", but not the Z of a layer of normals or positions."""
    layer, _, channel = name.rpartition(".")
    return channel in ("Z", "V") and layer.rpartition(".")[2].lower() == "depth"


def _is_grey(channels: Mapping[str, Any]) -> bool:
    colours = [channels[name].pixels for name in _COLOURS if name in channels]
    return all(np.array_equal(colours[0], c, equal_nan=True) for c in colours[1:])


def openexr_module() -> ModuleType:
    """Return the OpenEXR package.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module("OpenEXR", "EXR files need", "exr")
