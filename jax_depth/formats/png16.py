"""16-bit greyscale PNG that carries its own scale, offset and meaning.

    value = depth-offset + depth-scale * pixel

Both numbers and all texts are text chunks of the file (PNG specification, third
edition, section 11.3.3), so the file is complete in itself and opens in any viewer.
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt16
from PIL import Image, PngImagePlugin

from jax_depth.formats.stored import Stored, check_pixels, naming

# zlib level of every PNG we write: twice as fast as Pillow's 6, some 10 % larger.
COMPRESSION = 3

TOP = 65535
# Of our keys, since all programs share one space of names.
_PREFIX = "depth-"


def write_png16(
    path: Path,
    values: Float32[np.ndarray, "h w"],
    scale: float,
    offset: float,
    texts: Mapping[str, str],
) -> None:
    """Write the pixels round((values - offset) / scale), which reading inverts.

    Args:
        path: of the file.
        values: finite; what falls outside 0 to 65535 is cut off.
        scale: of one step, not 0.
        offset: value of pixel 0.
        texts: to be kept beside them.
    """
    steps = np.rint((values.astype(np.float64) - offset) / scale)
    info = PngImagePlugin.PngInfo()
    # repr gives the shortest text that reads back as the same number.
    for key, text in {"scale": repr(scale), "offset": repr(offset), **texts}.items():
        # iTXt, since a model may be called by the path of its file, in any language.
        info.add_itxt(_PREFIX + key, text)
    info.add_text("Description", "value = depth-offset + depth-scale * pixel")
    info.add_text("Software", "jax_depth")
    pixels = np.clip(steps, 0, TOP).astype(np.uint16)
    Image.fromarray(pixels).save(
        path, format="PNG", pnginfo=info, compress_level=COMPRESSION
    )


@naming
def read_png(source: Path | str | io.BytesIO) -> Stored:
    """Read a PNG of one channel: its numbers, scaled if it says so, and its texts.

    `texts` holds "scale" and "offset" exactly if the values were scaled.

    Raises:
        OSError, ValueError: missing, damaged, of several channels, or reduced to
            fewer bits by another program.
    """
    # Not `Image.open`, whose guard against decompression bombs maps may exceed.
    with PngImagePlugin.PngImageFile(source) as image:
        check_pixels(str(source), *image.size)
        # Chunks may stand after the pixels, where only loading finds them.
        image.load()
        texts = {
            key.removeprefix(_PREFIX): str(text)
            for key, text in getattr(image, "text", {}).items()
            if key.startswith(_PREFIX)
        }
        mode, values = image.mode, np.asarray(image)
    if values.ndim != 2 or mode == "P":
        raise ValueError(
            f"{source}: it is a picture ({mode} pixels are a picture's); depth needs "
            "one channel"
        )
    if "scale" not in texts or "offset" not in texts:
        return Stored(values, {k: t for k, t in texts.items() if k not in _NUMBERS})
    if not mode.startswith("I"):
        raise ValueError(
            f"{source} was reduced to {mode} pixels by another program, so its depth "
            "is lost; write it again"
        )
    try:
        scale, offset = float(texts["scale"]), float(texts["offset"])
        if not (math.isfinite(scale * TOP) and math.isfinite(offset)) or scale == 0:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{source} has depth-scale {texts['scale'][:40]!r} and depth-offset "
            f"{texts['offset'][:40]!r}, which are not both usable numbers"
        ) from None
    return Stored(offset + scale * values.astype(np.float64), texts)


_NUMBERS = ("scale", "offset")


@naming
def read_uint16(path: Path | str) -> UInt16[np.ndarray, "h w"]:
    """Read the pixels of a 16-bit grey PNG.

    Raises:
        OSError, ValueError: missing, damaged, or not such a PNG.
    """
    with PngImagePlugin.PngImageFile(path) as image:
        check_pixels(path, *image.size)
        if not image.mode.startswith("I"):
            raise ValueError(f"{path} has {image.mode} pixels, not 16-bit grey")
        return np.asarray(image).astype(np.uint16)
