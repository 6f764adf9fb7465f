"""Which colour is near: a strip of colours with words, to go below a picture."""

import dataclasses
import functools

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jax_depth.depth_map import DepthMap
from jax_depth.outputs.colormap import colormap as table_of

_INK, _PAPER, _FRAME = (32, 32, 32), (255, 255, 255), (120, 120, 120)


@dataclasses.dataclass(frozen=True)
class Words:
    """What a legend says.

    Attributes:
        near, far: the two ends, such as "near: 0.52 m".
        note: what the numbers may be compared with.
    """

    near: str
    far: str
    note: str


def legend_words(
    depth: DepthMap, low: float | None = None, high: float | None = None
) -> Words:
    """Return what the ends of a map's colours mean, for a newcomer.

    Args:
        depth: the map; its kind and unit are read.
        low, high: range that is shown, as in `colorize`; the map's own when None.
    """
    low = float(depth.values.min()) if low is None else low
    high = float(depth.values.max()) if high is None else high
    near, far = (high, low) if depth.near_is_large else (low, high)
    if depth.unit == "m":
        note = "metres from the camera"
        return Words(f"near: {near:.2f} m", f"far: {far:.2f} m", note)
    note = "no unit: compare within this photo"
    return Words(f"near: {near:.3g}", f"far: {far:.3g}", note)


def draw_legend(
    width: int, words: Words, colormap: str = "Spectral_r"
) -> UInt8[np.ndarray, "h w2 3"]:
    """Return a strip: near, the colours, far, and the note below.

    What does not fit a narrow picture is left out: first the note, then the numbers.

    Args:
        width: of the strip, pixels.
        words: of its ends.
        colormap: a name from `jax_depth.outputs.colormap.COLORMAPS`.

    Returns:
        uint8 RGB (h, width, 3), black on white, of an even height that depends on the
        width alone: the frames of a film keep their size.

    Raises:
        ValueError: unknown colour map, or no pixels.
    """
    if width < 1:
        raise ValueError(f"a legend must be at least 1 pixel wide, got {width}")
    # Read at any size the picture is shown at: letters grow with it.
    size = int(np.clip(width / 36, 11, 64))
    gap = max(2, size // 2)
    height = 2 * ((2 * size + 3 * gap + 1) // 2)
    strip = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(strip)
    font = _font(size)
    near, far = words.near, words.far
    room = width - 6 * gap
    if draw.textlength(near + far, font) > 0.7 * room:
        near, far = "near", "far"
    if draw.textlength(near + far, font) > 0.7 * room:
        near = far = ""
    left = gap + (draw.textlength(near, font) + gap if near else 0)
    right = width - gap - (draw.textlength(far, font) + gap if far else 0)
    middle = gap + size // 2
    draw.text((gap, middle), near, _INK, font, anchor="lm")
    draw.text((width - gap, middle), far, _INK, font, anchor="rm")
    x0, x1 = (int(np.clip(side, 0, width - 1)) for side in (left, right))
    if x1 > x0:
        levels = np.linspace(255, 0, x1 - x0).round().astype(np.intp)
        bar = np.repeat(table_of(colormap)[levels][None], size, axis=0)
        strip.paste(Image.fromarray(bar), (x0, gap))
        draw.rectangle((x0, gap, x1, gap + size), outline=_FRAME)
    if draw.textlength(words.note, font) <= width - 2 * gap:
        below = gap + size + gap + size // 2
        draw.text((width / 2, below), words.note, _INK, font, anchor="mm")
    return np.asarray(strip)


def with_legend(
    picture: UInt8[np.ndarray, "h w 3"],
    depth: DepthMap,
    colormap: str = "Spectral_r",
    low: float | None = None,
    high: float | None = None,
) -> UInt8[np.ndarray, "h2 w 3"]:
    """Return a picture with the legend of its depth below.

    Args:
        picture: uint8 RGB whose right part is the coloured depth, so that it may be
            what `side_by_side` gives.
        depth: that was coloured.
        colormap, low, high: as they were given to `colorize`.

    Raises:
        ValueError: unknown colour map, or the picture is narrower than its depth.
    """
    width, own = picture.shape[1], depth.shape[1]
    if width < own:
        raise ValueError(
            f"the picture, {width} pixels wide, is narrower than its depth map, {own}"
        )
    strip = draw_legend(own, legend_words(depth, low, high), colormap)
    below = np.full((len(strip), width, 3), 255, np.uint8)
    below[:, width - own :] = strip
    return np.concatenate([picture, below])


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow's own letters, so that pictures look the same on every machine.
    return ImageFont.load_default(size)
