"""The study as one page that needs nothing but itself: what goes into its template."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from jax_depth import __version__
from jax_depth.depth_map import DepthMap
from jax_depth.outputs.color import colorize
from jax_depth.study import html_tokens
from jax_depth.study.agreement import REACH
from jax_depth.study.charts import (
    Axis,
    bars,
    color_bar,
    figure,
    jpeg,
    key,
    number,
    share,
    strip,
    table,
    tinted_table,
)
from jax_depth.study.common_form import LONGEST, canonical
from jax_depth.study.disagreement import EDGES
from jax_depth.study.experiments import FACTOR
from jax_depth.study.findings import headlines, mean_agreement
from jax_depth.study.ranges import Range, typical
from jax_depth.study.run import Compared, Study
from jax_depth.study.template import Html, fill, text_of

_KINDS = {
    "inverse_depth": "inverse depth, no unit",
    "depth": "depth, no unit",
    "metric_depth": "metres",
}
_MAPS, _DIFFERENCES = "Spectral_r", "inferno"
_DOUBTS = 60  # that are listed


def to_html(study: Study, shown: int = 12) -> str:
    """Return the page: no script, no request, pictures inside.

    Args:
        study: with at least one picture.
        shown: pictures whose maps are in the page; the figures are of all.

    Raises:
        ValueError: the study holds no picture.
    """
    if not study.pictures:
        raise ValueError("the study holds no picture, so there is nothing to report")
    pictures: Sequence[Compared] = study.pictures[:shown]
    left_out = len(study.pictures) - len(pictures)
    models = _counted(len(study.models), "model")
    failed = [f"Left out: {reason}" for reason in study.failed.values()]
    page = fill(
        "page",
        css=text_of("report.css"),
        models=", ".join(study.models),
        counts=f"{models}, {_counted(len(study.pictures), 'picture')}",
        findings=_items([*headlines(study), *failed]),
        overview=_overview(study),
        raw_charts=_raw_charts(study, pictures),
        raw_numbers=_numbers(study, "raw"),
        common_chart=_chart(study, pictures, study.models, "common"),
        common_numbers=_numbers(study, "common"),
        scales=_scales(study),
        rows_of_maps=_rows_of_maps(study, pictures),
        agreement=_agreement(study),
        differences=_differences(study),
        experiments=_experiments(study),
        factor=f"{FACTOR:g}",
        longest=LONGEST,
        reach=f"{REACH:g}",
        edges=f"{EDGES:.0%}",
        left_out=fill("left_out", count=left_out) if left_out else "",
        version=__version__,
        jax=jax.__version__,
        device=jax.devices()[0].device_kind,
        **html_tokens.values(study, pictures),
    )
    return page + "\n"


def _items(sentences: Iterable[str]) -> list[Html]:
    return [fill("item", text=sentence) for sentence in sentences]


def _overview(study: Study) -> Html:
    rows = []
    for hue, (model, config) in enumerate(study.configs.items()):
        size, resample = study.sizes[model]
        reach = f" up to {config.max_depth:g}" if config.max_depth else ""
        rows.append(
            [
                key(hue, model),
                _KINDS[config.kind] + reach,
                f"{study.parameters[model] / 1e6:.1f} M",
                f"{size} px, {resample}",
                config.dtype,
            ]
        )
    head = ["model", "gives", "parameters", "short side, preprocessing", "computed in"]
    return table(head, rows)


def _raw_charts(study: Study, shown: Sequence[Compared]) -> list[Html]:
    """Return a chart for each unit, under its name."""
    groups: dict[str, list[str]] = {}
    for model, config in study.configs.items():
        groups.setdefault(_quantity(config.kind), []).append(model)
    parts = []
    for quantity, models in groups.items():
        parts += [fill("heading", text=quantity), _chart(study, shown, models, "raw")]
    return parts


def _chart(
    study: Study, shown: Sequence[Compared], models: Sequence[str], which: str
) -> Html:
    rows, ends = [], []
    for model in models:
        hue = study.models.index(model)
        known = [getattr(p.seen[model], which) for p in study.pictures]
        known = [one for one in known if one is not None]
        if not known:
            label = Html(f"{key(hue, model)} –")
            rows.append((label, "total", hue, [0.0] * 5, "no range"))
            continue
        ends += [one.minimum for one in known] + [one.maximum for one in known]
        rows.append(_bar(key(hue, model), "total", hue, typical(known)))
        for picture in shown:
            one = getattr(picture.seen[model], which)
            if one is not None:
                rows.append(_bar(picture.name, "", hue, one))
    if not ends:
        return fill("no_range")
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


def _numbers(study: Study, which: str) -> Html:
    head = ["picture", "model", "min", "2 %", "25 %", "median", "75 %", "98 %", "max"]
    head += ["mean |d − median|", "exactly 0"]
    rows = []
    for picture in study.pictures:
        for hue, (model, seen) in enumerate(picture.seen.items()):
            one = getattr(seen, which)
            row = [picture.name, key(hue, model)]
            if one is None:
                rows.append([*row, seen.note, *[""] * 8])
                continue
            values = list(dataclasses.astuple(one))
            rows.append([*row, *map(number, values[:-1]), share(values[-1])])
    return table(head, rows)


def _scales(study: Study) -> list[Html]:
    """Return what the colours of the maps and of their differences stand for."""
    (low, high), most = _scale(study), _most(study)
    maps = color_bar(_MAPS, f"far, {number(low, 2)}", f"{number(high, 2)}, near")
    if not most:
        return [maps]
    ends = "agree, 0", f"{number(most, 2)}, differ most"
    return [maps, fill("spread_of_maps"), color_bar(_DIFFERENCES, *ends)]


def _rows_of_maps(study: Study, shown: Sequence[Compared]) -> list[Html]:
    """Return photos, maps on one scale, and where they differ."""
    (low, high), most = _scale(study), _most(study)
    parts = []
    for picture in shown:
        parts.append(fill("heading", text=picture.name))
        parts.append(_row_of_maps(picture, low, high, most))
    return parts


def _row_of_maps(picture: Compared, low: float, high: float, most: float) -> Html:
    height, width = picture.size
    parts = [figure(jpeg(picture.photo), picture.name, f"photo, {width} × {height}")]
    for hue, (model, seen) in enumerate(picture.seen.items()):
        name = key(hue, model)
        if seen.common is None or seen.raw is None:
            parts.append(fill("no_map", name=name, note=seen.note))
            continue
        depth = DepthMap(canonical(seen.depth), "inverse_depth")
        unit = " m" if seen.depth.unit else ""
        ends = f"raw {number(seen.raw.minimum)} to {number(seen.raw.maximum)}{unit}"
        caption = fill("two_lines", first=name, second=ends)
        pixels = colorize(depth, _MAPS, low, high)
        parts.append(figure(jpeg(pixels, 85), f"depth by {model}", caption))
    if picture.differing is not None and most:
        spread = DepthMap(picture.differing.spread, "inverse_depth")
        pixels = colorize(spread, _DIFFERENCES, 0.0, most)
        mean = f"mean {number(picture.differing.mean, 2)}"
        caption = fill("two_lines", first="where they differ", second=mean)
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


def _agreement(study: Study) -> Html:
    """Return the four matrices, and metres as they are where models give them."""
    names = study.models
    if len(names) < 2:
        return fill("no_agreement")
    matrices = [
        tinted_table(title, names, *_cells(study, field, good))
        for title, field, good in (
            ("AbsRel of depth, less is better", "abs_rel", lambda v: 1 - v / 0.5),
            ("δ1, share of pixels within 25 %", "d1", lambda v: v),
            ("Spearman, rank correlation", "spearman", lambda v: v),
            ("Edges, boundary F1", "edges", lambda v: v),
        )
    ]
    counted = _counted(len(study.pictures), "picture")
    return fill(
        "agreement",
        matrices=matrices,
        counted=counted,
        metres=_metres(study),
        doubts=_doubts(study),
    )


def _cells(study: Study, field: str, goodness: Callable[[float], float]):
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


def _metres(study: Study) -> Html | str:
    metric = [m for m in study.models if study.configs[m].kind == "metric_depth"]
    rows = []
    for one in metric:
        for other in metric:
            means = mean_agreement(study, one, other)[0] if one != other else {}
            if "metres_abs_rel" in means:
                figures = means["metres_abs_rel"], means["metres_d1"]
                rows.append([f"{one} against {other}", *map(number, figures)])
    return fill("metres", table=table(["", "AbsRel", "δ1"], rows)) if rows else ""


def _doubts(study: Study) -> Html | str:
    """Return a sentence for each pair that could not be compared or is doubtful."""
    doubts = [
        f"{picture.name}, {one} aligned to {other}: {note}"
        for picture in study.pictures
        for (one, other), found in picture.agreements.items()
        for note in ([found] if isinstance(found, str) else found.notes)
    ]
    if not doubts:
        return ""
    more = len(doubts) - _DOUBTS
    listed = doubts[:_DOUBTS] + [f"and {more} more in study.json"] * (more > 0)
    return fill("doubts", counted=_counted(len(doubts), "doubt"), items=_items(listed))


def _differences(study: Study) -> Html:
    """Return where the maps differ, in numbers."""
    found = [(p, p.differing) for p in study.pictures if p.differing is not None]
    if not found:
        return fill("no_differences")
    fields = ("mean", "far", "middle", "near", "edges", "elsewhere")
    rows: list[list[str]] = [
        [picture.name, *(number(getattr(d, field), 2) for field in fields)]
        for picture, d in found
    ]
    means = {f: float(np.mean([getattr(d, f) for _, d in found])) for f in fields}
    total = ["all", *(number(means[field], 2) for field in fields)]
    rows.append([fill("bold", text=text) for text in total])
    where = max(("far", "middle", "near"), key=lambda field: means[field])
    ratio = means["edges"] / means["elsewhere"] if means["elsewhere"] else float("nan")
    head = ["", "all", "far", "middle", "near", "edges", "elsewhere"]
    shown = table(head, rows)
    return fill("differences", where=where, ratio=number(ratio, 2), table=shown)


def _experiments(study: Study) -> list[Html]:
    """Return the edits of each model, and what each changed."""
    head = ["", "token norm", "spread of the map", "shape moved by", "loss"]
    head += ["AbsRel", "δ1", "Spearman", "edges"]
    parts = []
    for hue, model in enumerate(study.models):
        parts.append(fill("heading", text=key(hue, model)))
        outcomes = study.experiments.get(model, "it has not been run")
        if isinstance(outcomes, str):
            parts.append(fill("paragraph", text=outcomes))
            continue
        rows = [
            [
                o.name,
                "–" if o.tokens is None else f"× {number(o.tokens, 4)}",
                f"× {number(o.spread, 4)}",
                number(o.shape, 2),
                number(o.loss, 6),
                *(number(x, 4) for x in (o.abs_rel, o.d1, o.spearman, o.edges)),
            ]
            for o in outcomes
        ]
        parts.append(table(head, rows))
    return parts


def _quantity(kind: str) -> str:
    return {
        "inverse_depth": "Inverse depth, no unit: larger is nearer",
        "metric_depth": "Metres: larger is farther",
    }.get(kind, "Depth, no unit: larger is farther")


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
