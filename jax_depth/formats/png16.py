"""16-bit greyscale PNG that carries its own scale, offset and meaning.

    value = depth-offset + depth-scale * pixel

Both numbers, the kind, unit, model and max_depth are text chunks of the file (PNG
specification, third edition, section 11.3.3), so the file is complete in itself and
opens in any viewer. A larger value is a brighter pixel, whatever the kind.
"""

from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from jax_depth.depth_map import DepthMap
from jax_depth.formats.metadata import PREFIX, from_texts, require_finite, to_texts

# zlib level of every PNG we write: twice as fast as Pillow's 6, some 10 % larger.
COMPRESSION = 3

_TOP = 65535
_MILLIMETRE = 0.001


def write_png16(
    depth: DepthMap, path: Path, extremes: tuple[float, float] | None = None
) -> None:
    """Write `depth` with its whole range spread over 0 to 65535.

    Reading it back is exact to half a step, (max - min) / 131070, and to float32.

    Args:
        depth: the map.
        path: of the file.
        extremes: values to spread instead, such as the smallest and the largest of
            several maps, which then share one scale; none may lie outside.

    Raises:
        ValueError: values are not finite, or lie outside `extremes`.
    """
    require_finite(depth, "a 16-bit PNG")
    low, high = float(depth.values.min()), float(depth.values.max())
    if extremes is not None:
        if low < extremes[0] or high > extremes[1]:
            raise ValueError(
                f"the map spans {low:g} to {high:g}, more than {extremes[0]:g} to "
                f"{extremes[1]:g}"
            )
        low, high = extremes
    # Any scale describes a constant map; 1 keeps readers from dividing by zero.
    scale = (high - low) / _TOP or 1.0
    _write(depth, path, scale, low)


def write_png_mm(depth: DepthMap, path: Path) -> None:
    """Write metric depth as millimetres, the convention of depth cameras.

    Raises:
        ValueError: the map is not metric, not finite, negative, or beyond 65.535 m.
    """
    if depth.kind != "metric_depth":
        raise ValueError(
            f"png-mm needs metric_depth, but the map is {depth.kind}; use png16"
        )
    require_finite(depth, "a PNG in millimetres")
    low, high = float(depth.values.min()), float(depth.values.max())
    if low < 0 or high / _MILLIMETRE > _TOP:
        raise ValueError(
            f"the map spans {low:g} m to {high:g} m, but 16 bits of millimetres reach "
            "from 0 to 65.535 m; use png16"
        )
    _write(depth, path, _MILLIMETRE, 0.0)


def read_png16(path: Path, kind: str | None = None) -> DepthMap:
    """Read what `write_png16` or `write_png_mm` wrote.

    Raises:
        ValueError: the file is no such PNG.
    """
    with Image.open(path, formats=["PNG"]) as image:
        # Chunks may stand after the pixels, where only loading finds them.
        image.load()
        texts = {
            key.removeprefix(PREFIX): str(text)
            for key, text in getattr(image, "text", {}).items()
            if key.startswith(PREFIX)
        }
        mode, pixels = image.mode, np.asarray(image)
    if "scale" not in texts or "offset" not in texts:
        raise ValueError(
            f"{path} carries no depth-scale and depth-offset: it is a picture, not a "
            "16-bit depth map written by jax_depth"
        )
    if not mode.startswith("I;16"):
        raise ValueError(
            f"{path} was reduced to {mode} pixels by another program, so its depth "
            "is lost; write it again"
        )
    try:
        scale, offset = float(texts["scale"]), float(texts["offset"])
    except ValueError:
        raise ValueError(
            f"{path} has depth-scale {texts['scale']!r} and depth-offset "
            f"{texts['offset']!r}, which are not both numbers"
        ) from None
    values = (offset + scale * pixels.astype(np.float64)).astype(np.float32)
    return from_texts(values, texts, kind, path)


def _write(depth: DepthMap, path: Path, scale: float, offset: float) -> None:
    steps = np.rint((depth.values.astype(np.float64) - offset) / scale)
    info = PngImagePlugin.PngInfo()
    # repr gives the shortest text that reads back as the same number.
    texts = {"scale": repr(scale), "offset": repr(offset), **to_texts(depth)}
    for key, text in texts.items():
        # iTXt, since a model may be called by the path of its file, in any language.
        info.add_itxt(PREFIX + key, text)
    info.add_text("Description", "value = depth-offset + depth-scale * pixel")
    info.add_text("Software", "jax_depth")
    pixels = np.clip(steps, 0, _TOP).astype(np.uint16)
    Image.fromarray(pixels).save(
        path, format="PNG", pnginfo=info, compress_level=COMPRESSION
    )
