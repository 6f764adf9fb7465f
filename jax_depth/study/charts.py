"""Pieces of the page: numbers, pictures, tables, charts.

Charts are HTML boxes placed by percentages, with lines as inline SVG that stretches:
labels keep their size on a phone, and nothing needs a script.
"""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.outputs.colormap import colormap
from jax_depth.study.template import Html, fill

# Colours of models in `report.css`, used again from the first after the last.
COLORS = 8


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for people; a dash for what is unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}g}"
    if "e" in text and 1 <= abs(value) < 1e6:
        text = f"{value:.0f}"
    return text.replace("-", "−")


def share(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.2g} %"


def color(index: int) -> str:
    """Return the CSS colour of a model."""
    return f"var(--m{index % COLORS})"


def key(index: int, name: str) -> Html:
    """Return a model's name with its colour before it."""
    return fill("key", color=color(index), name=name)


def legend(names: Sequence[str]) -> Html:
    """Return the colours of the models."""
    keys = (key(index, name) for index, name in enumerate(names))
    return fill("legend", keys=Html(" ".join(keys)))


def jpeg(pixels: UInt8[np.ndarray, "h w 3"], quality: int = 82) -> str:
    """Return a picture as a data URI."""
    return _uri(pixels, "JPEG", quality=quality)


def png(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return a small picture without loss, as a data URI."""
    return _uri(pixels, "PNG", optimize=True)


def _uri(pixels: np.ndarray, format: str, **options) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format, **options)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{format.lower()};base64,{text}"


def figure(uri: str, alt: str, caption: str, css: str = "") -> Html:
    """Return a picture with a caption."""
    return fill("figure", uri=uri, alt=alt, caption=caption, css=css)


def strip(figures: Sequence[Html]) -> Html:
    """Return figures side by side, in as many lines as the width asks for."""
    return fill("strip", count=len(figures), figures=figures)


def table(
    head: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str = ""
) -> Html:
    """Return a table that scrolls sideways where it must."""
    return fill(
        "table",
        caption=fill("caption", text=caption) if caption else "",
        head=(fill("column", text=cell) for cell in head),
        rows=(
            fill("row", first=first, cells=(fill("cell", text=cell) for cell in cells))
            for first, *cells in rows
        ),
    )


def tinted_table(
    title: str,
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    goodness: Sequence[Sequence[float]],
) -> Html:
    """Return a square table whose cells are tinted by goodness from 0 to 1."""
    rows = []
    for name, row, tints in zip(names, values, goodness, strict=True):
        levels = [round(100 * min(max(tint, 0), 1)) for tint in tints]
        cells = zip(row, levels, strict=True)
        rows.append(
            [name, *(fill("tinted", text=number(v), level=level) for v, level in cells)]
        )
    return table(["", *names], rows, title)


def color_bar(name: str, left: str, right: str) -> Html:
    """Return a scale of colours and what its ends stand for."""
    stops = ", ".join(f"rgb({r},{g},{b})" for r, g, b in colormap(name)[::17].tolist())
    return fill("scale", left=left, right=right, stops=stops)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`."""
    raw = (high - low) / count
    if not (raw > 0 and math.isfinite(raw)):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(k * step) for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Axis:
    """Values to per cent of a box, linear or logarithmic."""

    def __init__(self, low: float, high: float, log: bool = False):
        if log:
            low, high = math.log10(low), math.log10(high)
        if not low < high:
            low, high = low - 0.5, high + 0.5
        self.low, self.high, self.log = low, high, log

    def place(self, value: float) -> float:
        """Return per cent from the low end, within 0 to 100."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        return round(
            100 * min(max((value - self.low) / (self.high - self.low), 0), 1), 2
        )

    def marks(self) -> list[tuple[float, str]]:
        """Return (per cent, label) of round values."""
        if not self.log:
            return [(self.place(v), number(v)) for v in ticks(self.low, self.high)]
        powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
        step = max(1, len(powers) // 6)
        factors = (1,) if len(powers) > 2 else (1, 2, 5)
        start = math.floor(self.low)
        values = [f * 10.0**p for p in range(start, start + 12) for f in factors]
        if len(powers) > 2:
            values = [10.0**p for p in powers][::step]
        low, high = 10**self.low * 0.999, 10**self.high * 1.001
        return [(self.place(v), number(v)) for v in values if low <= v <= high]


def bars(
    rows: Sequence[tuple[str, str, int, Sequence[float], str]], axis: Axis
) -> Html:
    """Return a chart of ranges, one row each.

    Args:
        rows: label, CSS class, number of the colour, five values (minimum, 2nd
            percentile, median, 98th percentile, maximum) and a tooltip.
        axis: they share.
    """
    drawn = []
    for label, css, hue, values, tip in rows:
        low, p2, median, p98, high = map(axis.place, values)
        span, middle = f"{high - low:.2f}", f"{p98 - p2:.2f}"
        places = {"low": low, "span": span, "p2": p2, "middle": middle}
        drawn.append(
            fill(
                "bar",
                css=css,
                color=color(hue),
                tip=tip,
                label=label,
                median=median,
                **places,
            )
        )
    marks = (fill("mark", x=x, text=text) for x, text in axis.marks())
    return fill("bars", rows=drawn, marks=marks)


def lines(
    series: Sequence[tuple[str, int, str, Sequence[float]]],
    labels: Sequence[str],
    axis: Axis,
    title: str,
) -> Html:
    """Return a line chart.

    Args:
        series: name, number of the colour, CSS class of the line, values.
        labels: of the points along x; an empty one is not written.
        axis: of the values.
        title: of the chart.
    """
    last = max(len(labels) - 1, 1)
    paths, dots = [], []
    for name, hue, css, values in series:
        points = [
            (round(100 * i / last, 2), round(100 - axis.place(v), 2), v)
            for i, v in enumerate(values)
            if math.isfinite(v)
        ]
        path = " ".join(f"{x},{y}" for x, y, _ in points)
        paths.append(fill("path", css=css, color=color(hue), points=path))
        if "bare" not in css:
            dots += [
                fill("dot", x=x, y=y, color=color(hue), tip=f"{name}: {number(v)}")
                for x, y, v in points
            ]
    grid = (fill("grid", y=round(100 - y, 2), text=text) for y, text in axis.marks())
    below = (
        fill("mark", x=round(100 * i / last, 2), text=text)
        for i, text in enumerate(labels)
        if text
    )
    return fill("lines", title=title, grid=grid, paths=paths, dots=dots, below=below)
