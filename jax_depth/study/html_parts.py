"""Pieces of the page: numbers, pictures, charts. Small functions that return HTML.

Charts are HTML boxes placed by percentages, with lines as inline SVG that stretches:
labels keep their size on a phone, and nothing needs a script.
"""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from jaxtyping import UInt8
from PIL import Image

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


def key(index: int, name: str) -> str:
    """Return a model's name with its colour before it."""
    return f'<span class="key"><i style="--c:{color(index)}"></i>{escape(name)}</span>'


def legend(names: Sequence[str]) -> str:
    """Return the colours of the models."""
    return '<p class="legend">' + " ".join(map(key, range(len(names)), names)) + "</p>"


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


def figure(uri: str, alt: str, caption: str, css: str = "") -> str:
    """Return a picture with a caption, which is HTML."""
    return (
        f'<figure class="{css}"><img src="{uri}" alt="{escape(alt)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def strip(figures: Sequence[str]) -> str:
    """Return figures side by side, in as many lines as the width asks for."""
    return f'<div class="maps" style="--n:{len(figures)}">{"".join(figures)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table that scrolls sideways where it must; cells are HTML."""
    cells = "".join(f"<th scope=col>{cell}</th>" for cell in head)
    body = "".join(
        "<tr>"
        + f"<th scope=row>{row[0]}</th>"
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{caption}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{title}<thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def matrix(
    title: str,
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    goodness: Sequence[Sequence[float]],
) -> str:
    """Return a square table whose cells are tinted by goodness from 0 to 1."""
    rows = []
    for name, row, tints in zip(names, values, goodness, strict=True):
        cells = [escape(name)]
        for value, tint in zip(row, tints, strict=True):
            level = round(100 * min(max(tint, 0), 1))
            cells.append(
                f'<span class="cell" style="--t:{level}%">{number(value)}</span>'
            )
        rows.append(cells)
    return table(["", *map(escape, names)], rows, escape(title))


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


def bars(rows: Sequence[tuple[str, str, int, Sequence[float], str]], axis: Axis) -> str:
    """Return a chart of ranges, one row each.

    Args:
        rows: label (HTML), CSS class, number of the colour, five values (minimum, 2nd
            percentile, median, 98th percentile, maximum) and a tooltip.
        axis: they share.
    """
    out = []
    for label, css, hue, values, tip in rows:
        low, p2, middle, p98, high = map(axis.place, values)
        out.append(
            f'<div class="bar {css}" style="--c:{color(hue)}" title="{escape(tip)}">'
            f'<span class="label">{label}</span><span class="track">'
            f'<i class="line" style="left:{low}%;width:{high - low:.2f}%"></i>'
            f'<i class="box" style="left:{p2}%;width:{p98 - p2:.2f}%"></i>'
            f'<i class="tick" style="left:{middle}%"></i></span></div>'
        )
    marks = "".join(f'<i style="left:{x}%">{text}</i>' for x, text in axis.marks())
    return (
        f'<div class="bars">{"".join(out)}<div class="bar axis">'
        f'<span class="label"></span><span class="track">{marks}</span></div></div>'
    )


def lines(
    series: Sequence[tuple[str, int, str, Sequence[float]]],
    labels: Sequence[str],
    axis: Axis,
    title: str,
) -> str:
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
        paths.append(
            f'<polyline class="{css}" style="--c:{color(hue)}" points="{path}"/>'
        )
        if "bare" not in css:
            dots += [
                f'<i class="dot" style="left:{x}%;top:{y}%;--c:{color(hue)}" '
                f'title="{escape(name)}: {number(v)}"></i>'
                for x, y, v in points
            ]
    grid = "".join(
        f'<i class="grid" style="top:{round(100 - y, 2)}%"><b>{text}</b></i>'
        for y, text in axis.marks()
    )
    below = "".join(
        f'<i style="left:{round(100 * i / last, 2)}%">{escape(text)}</i>'
        for i, text in enumerate(labels)
        if text
    )
    return (
        f'<figure class="lines"><figcaption>{title}</figcaption>'
        f'<div class="plot">{grid}'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(paths)}</svg>{"".join(dots)}</div><div class="below">{below}</div>'
        "</figure>"
    )
