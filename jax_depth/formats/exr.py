"""OpenEXR with one float32 channel named Z, as Video-Depth-Anything writes it."""

from pathlib import Path
from types import ModuleType

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.formats.metadata import from_texts, to_texts

_CHANNEL = "Z"
_ATTRIBUTES = ("kind", "unit", "model", "max_depth")


def write_exr(depth: DepthMap, path: Path) -> None:
    """Write the values, losslessly compressed; the meaning is in header attributes.

    Raises:
        ValueError: the OpenEXR package is not installed.
        OSError: the file cannot be written.
    """
    openexr = openexr_module()
    header = {
        "compression": openexr.ZIP_COMPRESSION,
        "type": openexr.scanlineimage,
        **to_texts(depth),
    }
    channels = {_CHANNEL: np.ascontiguousarray(depth.values)}
    try:
        with openexr.File(header, channels) as file:
            file.write(str(path))
    except RuntimeError as error:
        raise OSError(f"OpenEXR could not write the file: {error}") from None


def read_exr(path: Path, kind: str | None = None) -> DepthMap:
    """Read the Z channel.

    Raises:
        ValueError: the OpenEXR package is not installed, or there is no Z channel.
    """
    openexr = openexr_module()
    with openexr.File(str(path)) as file:
        channels, header = file.channels(), file.header()
        if _CHANNEL not in channels:
            raise ValueError(
                f"{path} has no channel Z (it has: {', '.join(channels) or 'none'})"
            )
        values = np.array(channels[_CHANNEL].pixels, dtype=np.float32)
        texts = {key: str(header[key]) for key in _ATTRIBUTES if key in header}
    return from_texts(values, texts, kind, path)


def openexr_module() -> ModuleType:
    """Return the OpenEXR package.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import OpenEXR
    except ImportError:
        raise ValueError(
            "EXR files need the OpenEXR package: pip install 'jax_depth[exr]'"
        ) from None
    return OpenEXR
