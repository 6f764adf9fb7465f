"""Sections of the page that show ranges, maps and agreement."""

import dataclasses
from collections.abc import Sequence
from html import escape

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.outputs.color import colorize
from jax_depth.outputs.colormap import colormap
from jax_depth.study.common_form import canonical
from jax_depth.study.findings import mean_agreement
from jax_depth.study.html_parts import (
    Axis,
    bars,
    figure,
    jpeg,
    key,
    matrix,
    number,
    share,
    strip,
    table,
)
from jax_depth.study.ranges import Range, typical
from jax_depth.study.run import Compared, Study

_MAPS, _DIFFERENCES = "Spectral_r", "inferno"


def ranges_section(study: Study, shown: Sequence[Compared]) -> str:
    """Return the raw ranges: a chart for each unit, and the numbers."""
    groups: dict[str, list[str]] = {}
    for model, config in study.configs.items():
        groups.setdefault(_quantity(config.kind), []).append(model)
    charts = "".join(
        f"<h3>{quantity}</h3>" + _chart(study, shown, models, "raw")
        for quantity, models in groups.items()
    )
    return (
        "<p>What the models return, untouched. Every thin bar is a picture: the line "
        "spans all values, the bar the middle 96 %, the mark is the median. The thick "
        "bar is the model's typical picture, the median of each of these.</p>"
        f"{charts}<details><summary>The numbers, picture by picture</summary>"
        f"{_numbers(study, 'raw')}</details>"
    )


def canonical_section(study: Study, shown: Sequence[Compared]) -> str:
    """Return the same ranges in canonical form."""
    return (
        "<p>The same maps as inverse depth with median 0 and mean absolute deviation "
        "1: <code>(d − median) / mean|d − median|</code>, the form in which the "
        "training loss compares maps. Metres are inverted first. What differs now is "
        "what the models see, not the units they say it in.</p>"
        f"{_chart(study, shown, study.models, 'common')}"
        "<details><summary>The numbers, picture by picture</summary>"
        f"{_numbers(study, 'common')}</details>"
    )


def side_by_side_section(study: Study, shown: Sequence[Compared]) -> str:
    """Return photos, maps on one scale, and where they differ."""
    low, high = _scale(study)
    most = _most(study)
    parts = [
        "<p>All maps of this page are in canonical form and share one scale, so equal "
        "colours are equal values. Below each, the raw values it had.</p>",
        _color_bar(_MAPS, f"far, {number(low, 2)}", f"{number(high, 2)}, near"),
    ]
    if most:
        parts.append(
            "<p class=soft>The last picture of each row is the largest minus the "
            "smallest of the maps at each pixel, in mean absolute deviations.</p>"
        )
        parts.append(
            _color_bar(_DIFFERENCES, "agree, 0", f"{number(most, 2)}, differ most")
        )
    for picture in shown:
        parts.append(f"<h3>{escape(picture.name)}</h3>")
        parts.append(_row_of_maps(picture, low, high, most))
    return "".join(parts)


def agreement_section(study: Study) -> str:
    """Return the four matrices, and metres as they are where models give them."""
    names = study.models
    if len(names) < 2:
        return "<p>Agreement needs at least two models.</p>"
    tables = "".join(
        matrix(title, names, *_cells(study, field, good))
        for title, field, good in (
            ("AbsRel of depth, less is better", "abs_rel", lambda v: 1 - v / 0.5),
            ("δ1, share of pixels within 25 %", "d1", lambda v: v),
            ("Spearman, rank correlation", "spearman", lambda v: v),
            ("Edges, boundary F1", "edges", lambda v: v),
        )
    )
    return (
        "<p>The model of a row is aligned to that of the column by scale and shift in "
        "inverse depth, the column's map taken for the truth. Means over "
        f"{_counted(len(study.pictures), 'picture')}. A pair that orders near and far "
        "oppositely has no tint: least squares turns one of the maps upside down.</p>"
        f'<div class="matrices">{tables}</div>{_metres(study)}{_refused(study)}'
    )


def disagreement_section(study: Study) -> str:
    """Return where the maps differ, in numbers."""
    found = [(p, p.differing) for p in study.pictures if p.differing is not None]
    if not found:
        return "<p>Fewer than two usable maps: nothing to compare.</p>"
    fields = ("mean", "far", "middle", "near", "edges", "elsewhere")
    rows = [
        [escape(picture.name), *(number(getattr(d, field), 2) for field in fields)]
        for picture, d in found
    ]
    means = {f: float(np.mean([getattr(d, f) for _, d in found])) for f in fields}
    rows.append(
        ["<b>all</b>", *(f"<b>{number(means[field], 2)}</b>" for field in fields)]
    )
    where = max(("far", "middle", "near"), key=lambda field: means[field])
    ratio = means["edges"] / means["elsewhere"] if means["elsewhere"] else float("nan")
    return (
        "<p>Largest minus smallest canonical value at a pixel, averaged, in mean "
        "absolute deviations. Far, middle and near are thirds of the pixels by the "
        "models' median; edges are the tenth where that median is steepest.</p>"
        f"<p>The models differ most in the {where} third, and at edges "
        f"{number(ratio, 2)} times as much as elsewhere.</p>"
        + table(["", "all", "far", "middle", "near", "edges", "elsewhere"], rows)
    )


def _chart(
    study: Study, shown: Sequence[Compared], models: Sequence[str], which: str
) -> str:
    rows, ends = [], []
    for model in models:
        hue = study.models.index(model)
        known = [getattr(p.seen[model], which) for p in study.pictures]
        known = [one for one in known if one is not None]
        if not known:
            rows.append((key(hue, model) + " –", "total", hue, [0.0] * 5, "no range"))
            continue
        ends += [one.minimum for one in known] + [one.maximum for one in known]
        rows.append(_bar(key(hue, model), "total", hue, typical(known)))
        for picture in shown:
            one = getattr(picture.seen[model], which)
            if one is not None:
                rows.append(_bar(escape(picture.name), "", hue, one))
    if not ends:
        return "<p>No map here has a range.</p>"
    low, high = min(ends), max(ends)
    return bars(rows, Axis(min(low, 0.0), high))


def _bar(label: str, css: str, hue: int, one: Range):
    values = [one.minimum, one.p2, one.median, one.p98, one.maximum]
    tip = (
        f"{number(one.minimum)} to {number(one.maximum)}, middle 96 % "
        f"{number(one.p2)} to {number(one.p98)}, median {number(one.median)}, mean "
        f"absolute deviation {number(one.deviation)}"
    )
    return label, css, hue, values, tip


def _numbers(study: Study, which: str) -> str:
    head = ["picture", "model", "min", "2 %", "25 %", "median", "75 %", "98 %", "max"]
    head += ["mean |d − median|", "exactly 0"]
    rows = []
    for picture in study.pictures:
        for hue, (model, seen) in enumerate(picture.seen.items()):
            one = getattr(seen, which)
            row = [escape(picture.name), key(hue, model)]
            if one is None:
                rows.append([*row, escape(seen.note), *[""] * 8])
                continue
            values = list(dataclasses.astuple(one))
            rows.append([*row, *map(number, values[:-1]), share(values[-1])])
    return table(head, rows)


def _row_of_maps(picture: Compared, low: float, high: float, most: float) -> str:
    height, width = picture.size
    parts = [figure(jpeg(picture.photo), picture.name, f"photo, {width} × {height}")]
    for hue, (model, seen) in enumerate(picture.seen.items()):
        name = key(hue, model)
        if seen.common is None or seen.raw is None:
            parts.append(f"<figure><p>{name}</p><p>{escape(seen.note)}</p></figure>")
            continue
        depth = DepthMap(canonical(seen.depth), "inverse_depth")
        unit = " m" if seen.depth.unit else ""
        caption = (
            f"{name}<br>raw {number(seen.raw.minimum)} to "
            f"{number(seen.raw.maximum)}{unit}"
        )
        pixels = colorize(depth, _MAPS, low, high)
        parts.append(figure(jpeg(pixels, 85), f"depth by {model}", caption))
    if picture.differing is not None and most:
        spread = DepthMap(picture.differing.spread, "inverse_depth")
        pixels = colorize(spread, _DIFFERENCES, 0.0, most)
        caption = f"where they differ<br>mean {number(picture.differing.mean, 2)}"
        parts.append(figure(jpeg(pixels, 80), "differences between the maps", caption))
    return strip(parts)


def _scale(study: Study) -> tuple[float, float]:
    """Return the range all maps are shown in: the median of their middle 96 %."""
    known = [s.common for p in study.pictures for s in p.seen.values() if s.common]
    if not known:
        return -1.0, 1.0
    whole = typical(known)
    return (whole.p2, whole.p98) if whole.p2 < whole.p98 else (-1.0, 1.0)


def _most(study: Study) -> float:
    spreads = [p.differing.spread for p in study.pictures if p.differing is not None]
    if not spreads:
        return 0.0
    return max(float(np.median([np.percentile(s, 98) for s in spreads])), 1e-6)


def _color_bar(name: str, left: str, right: str) -> str:
    stops = ", ".join(f"rgb({r},{g},{b})" for r, g, b in colormap(name)[::17].tolist())
    return (
        f'<div class="scale"><span>{left}</span><i style="background:'
        f'linear-gradient(90deg, {stops})"></i><span>{right}</span></div>'
    )


def _cells(study: Study, field: str, goodness):
    values, tints = [], []

    def opposed(one: str, other: str) -> bool:
        return mean_agreement(study, one, other)[0].get("spearman", 0.0) < 0

    for one in study.models:
        row = [
            None if one == other else mean_agreement(study, one, other)[0].get(field)
            for other in study.models
        ]
        values.append(row)
        # Upside down, least squares flatters: such a pair gets no tint.
        tints.append(
            [
                0.0 if v is None or opposed(one, other) else goodness(v)
                for v, other in zip(row, study.models, strict=True)
            ]
        )
    return values, tints


def _metres(study: Study) -> str:
    metric = [m for m in study.models if study.configs[m].kind == "metric_depth"]
    rows = []
    for one in metric:
        for other in metric:
            means = mean_agreement(study, one, other)[0] if one != other else {}
            if "metres_abs_rel" in means:
                rows.append(
                    [
                        f"{escape(one)} against {escape(other)}",
                        number(means["metres_abs_rel"]),
                        number(means["metres_d1"]),
                    ]
                )
    if not rows:
        return ""
    return (
        "<h3>Metres as they are</h3><p>Metric models need no alignment; where they "
        "differ by a scale it shows only here.</p>" + table(["", "AbsRel", "δ1"], rows)
    )


def _refused(study: Study) -> str:
    """Return a sentence for each pair that could not be compared or is doubtful."""
    lines = []
    for picture in study.pictures:
        for (one, other), found in picture.agreements.items():
            for note in [found] if isinstance(found, str) else found.notes:
                lines.append(
                    f"{escape(picture.name)}, {escape(one)} aligned to "
                    f"{escape(other)}: {escape(note)}"
                )
    if not lines:
        return ""
    items = "".join(f"<li>{line}</li>" for line in lines[:60])
    more = f"<li>and {len(lines) - 60} more in study.json</li>" * (len(lines) > 60)
    return (
        f"<details><summary>{_counted(len(lines), 'doubt')} about these "
        f"figures</summary><ul class=soft>{items}{more}</ul></details>"
    )


def _quantity(kind: str) -> str:
    return {
        "inverse_depth": "Inverse depth, no unit: larger is nearer",
        "metric_depth": "Metres: larger is farther",
    }.get(kind, "Depth, no unit: larger is farther")


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
