"""OpenEXR of float32: the depth as channel Z, and once more as Y.

Z is what renderers and Nuke call depth and what Video-Depth-Anything writes. Programs
that show or read luminance and colours alone, OpenCV and most viewers among them, take
Y: without it OpenCV reads zeros.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float32

from jax_depth.formats.stored import Stored, naming, optional_module

_CHANNEL, _SHOWN = "Z", "Y"
# A depth map of another program is often written three times over, as grey RGB.
_FOREIGN = (_CHANNEL, _SHOWN, "G")


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
        channel: its name; when None the only one, else Z, Y or G, whichever is first
            there.

    Raises:
        OSError, ValueError: missing or damaged, no such channel, or the OpenEXR
            package is not installed.
    """
    openexr = openexr_module()
    if not Path(path).exists():
        raise FileNotFoundError(2, "does not exist", str(path))
    with openexr.File(str(path), separate_channels=True) as file:
        channels, header = file.channels(), file.header()
        wanted = [channel] if channel else _FOREIGN
        if channel is None and len(channels) == 1:
            wanted = list(channels)
        name = next((name for name in wanted if name in channels), None)
        if name is None:
            raise ValueError(
                f"{path} has no channel {' or '.join(wanted)} (it has: "
                f"{', '.join(channels) or 'none'})"
            )
        values = np.array(channels[name].pixels, dtype=np.float32)
        texts = {key: text for key, text in header.items() if isinstance(text, str)}
        # Grey written three times over is no layer: ours stand beside a Z.
        ours = name == _CHANNEL and "kind" in texts
        layers = {
            other: np.array(found.pixels, dtype=np.float32)
            for other, found in channels.items()
            if ours and other not in (name, _SHOWN)
        }
    return Stored(values, texts, layers)


def openexr_module() -> ModuleType:
    """Return the OpenEXR package.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module("OpenEXR", "EXR files", "exr")
