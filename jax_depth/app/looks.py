"""A result as a user sees it: two pictures, their legend, values under the pointer."""

import base64
import dataclasses
import html
import json
from pathlib import Path

import numpy as np
from PIL import Image

from jax_depth import outputs
from jax_depth.app.messages import Refusal
from jax_depth.app.service import Prediction
from jax_depth.depth_map import DepthMap
from jax_depth.outputs.colormap import colormap
from jax_depth.outputs.legend import Words, legend_words

# Long side of the pictures on the page, and of the grid of values under the pointer.
_SHOWN = 1280
_GRID = 400
_JPEG = {"format": "JPEG", "quality": 92, "subsampling": 0}


@dataclasses.dataclass(frozen=True)
class Look:
    """How depth is coloured.

    Attributes:
        colours: name of the colour map.
        low, high: values at its ends; both None for the map's own range.
    """

    colours: str = "Spectral_r"
    low: float | None = None
    high: float | None = None


def write_pictures(result: Prediction, look: Look, folder: Path) -> tuple[str, str]:
    """Write photo and coloured depth, reduced to the page's size.

    Returns:
        Their paths.

    Raises:
        Refusal: 422, the range cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = result.depth.values
    # The range is the whole map's, whose extremes a mean of pixels would lose.
    extremes = float(values.min()), float(values.max())
    low = extremes[0] if look.low is None else look.low
    high = extremes[1] if look.high is None else look.high
    if low == high == extremes[0]:  # a flat map is its own range
        low = high = None
    small = dataclasses.replace(result.depth, values=reduced(values))
    try:
        colour = outputs.colorize(small, look.colours, low, high)
    except ValueError as error:
        raise Refusal(422, str(error)) from None
    paths = folder / "photo.jpg", folder / "depth.jpg"
    for pixels, path in zip((reduced(result.photo), colour), paths, strict=True):
        Image.fromarray(pixels).save(path, **_JPEG)
    return str(paths[0]), str(paths[1])


def legend(depth: DepthMap, look: Look) -> str:
    """Return the HTML of the legend of a coloured map."""
    words = legend_words(depth, look.low, look.high)
    return legend_of(words, look.colours)


def legend_of(words: Words, colours: str) -> str:
    """Return the HTML of a legend: near, the colours, far, and what numbers say."""
    table = colormap(colours)[::-15]
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in table)
    bar = f'<span class="bar" style="background:linear-gradient(90deg,{stops})"></span>'
    near, far, note = (html.escape(word) for word in dataclasses.astuple(words))
    line = f'<p class="ends"><span>{near}</span>{bar}<span>{far}</span></p>'
    return f'<div class="legend">{line}<p>{note}</p></div>'


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Return a picture or a map at the page's size; one that fits stays as it is."""
    rows, columns = reduced_shape(pixels.shape[:2])
    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BOX))


def reduced_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of what `reduced` makes of a picture."""
    scale = min(1.0, _SHOWN / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def values_under_pointer(depth: DepthMap) -> str:
    """Return hidden HTML that holds the values for `readout.js`.

    Every entry is the value of one pixel, not a mean of several, in 16 bits between
    the smallest and the largest of the map.
    """
    height, width = depth.shape
    step = -(-max(height, width) // _GRID)
    grid = depth.values[step // 2 :: step, step // 2 :: step]
    if 0 in grid.shape:  # a picture thinner than half a step
        step, grid = 1, depth.values[:_GRID, :_GRID]
    low, high = float(depth.values.min()), float(depth.values.max())
    span = (high - low) / 65535 or 1.0
    levels = np.rint((grid.astype(np.float64) - low) / span).astype("<u2")
    document = {
        "width": width,
        "height": height,
        "step": step,
        "columns": grid.shape[1],
        "low": low,
        "span": span,
        "unit": depth.unit or "",
        "name": _NAMES[depth.kind],
        "levels": base64.b64encode(levels.tobytes()).decode(),
    }
    text = html.escape(json.dumps(document), quote=True)
    return f'<div id="depth-values" data-values="{text}" hidden></div>'


_NAMES = {
    "inverse_depth": "inverse depth",
    "depth": "depth",
    "metric_depth": "distance",
}


def summary(result: Prediction) -> str:
    """Return one sentence about a map."""
    depth = result.depth
    low, high = float(depth.values.min()), float(depth.values.max())
    if depth.unit:
        text = f"from {low:.2f} to {high:.2f} {depth.unit}"
    else:
        text = f"{_NAMES[depth.kind]} from {low:.4g} to {high:.4g}, without a unit"
    height, width = depth.shape
    return f"{width} x {height} pixels by {depth.model}: {text}"
