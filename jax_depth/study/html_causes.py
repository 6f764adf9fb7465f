"""Sections of the page about why ranges differ: the loss, and the norm of tokens."""

from collections.abc import Sequence
from html import escape

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.outputs.color import colorize
from jax_depth.study.experiments import FACTOR
from jax_depth.study.findings import mean_rms, verdict
from jax_depth.study.html_parts import (
    Axis,
    figure,
    jpeg,
    key,
    legend,
    lines,
    number,
    png,
    share,
    strip,
    table,
)
from jax_depth.study.probe import OUTLIER, PUBLISHED, STAGES
from jax_depth.study.run import Compared, Study

_SHORT = {
    "tokens": "tokens",
    "taps": "LayerNorm",
    "levels": "levels",
    "path_4": "fusion 4",
    "path_3": "fusion 3",
    "path_2": "fusion 2",
    "path_1": "fusion 1",
    "output_1": "output 1",
    "output_2": "output 2",
    "raw": "map",
}
_MAPPED = 3  # pictures whose tokens are mapped


def loss_section(study: Study) -> str:
    """Return the edits, and what each changed."""
    head = ["", "token norm", "spread of the map", "shape moved by", "loss"]
    head += ["AbsRel", "δ1", "Spearman", "edges"]
    parts = [
        "<p>Relative models are trained on <code>mean|ŷ − t̂|</code>, prediction and "
        "target each brought to canonical form first (Depth Anything, "
        "arXiv:2401.10891, equations 1 and 2). A factor and an offset on the output "
        "cancel there, so no step of training ever pulls the range anywhere. The edits "
        "below are made to the parameters, and the whole network is run again on the "
        "first picture. Loss and metrics are against the map of the next model in the "
        "list, or a ramp that calls the lower pixel nearer where there is none.</p>"
    ]
    for hue, model in enumerate(study.models):
        outcomes = study.experiments.get(model, "it has not been run")
        if isinstance(outcomes, str):
            parts.append(f"<h3>{key(hue, model)}</h3><p>{escape(outcomes)}</p>")
            continue
        rows = [
            [
                escape(o.name),
                "–" if o.tokens is None else f"× {number(o.tokens, 4)}",
                f"× {number(o.spread, 4)}",
                number(o.shape, 2),
                number(o.loss, 6),
                number(o.abs_rel, 4),
                number(o.d1, 4),
                number(o.spearman, 4),
                number(o.edges, 4),
            ]
            for o in outcomes
        ]
        parts.append(f"<h3>{key(hue, model)}</h3>{table(head, rows)}")
    parts.append(
        f"<p class=soft>{FACTOR:g} is a power of two, so multiplying by it rounds "
        "nothing. Spread is the mean absolute deviation of the map, relative to the "
        "unchanged model; shape is the mean absolute difference of the canonical "
        "maps. A larger last bias also shows what the final ReLU had cut off; only "
        "that moves the shape of a relative map.</p>"
    )
    return "".join(parts)


def tokens_section(study: Study, shown: Sequence[Compared]) -> str:
    """Return token norms by block, outliers, where they sit, sizes of all stages."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict(study))
    return (
        "<p>Large vision transformers park information in a few patch tokens of very "
        "large norm (Darcet et al., arXiv:2309.16588), and it has been suggested that "
        "such tokens drive the range of the depth. Against that stands the final "
        "LayerNorm: every map the head taps from the transformer goes through it, and "
        "it divides each token by its own size.</p>"
        f'<ul class="verdict">{items}</ul>'
        f"<h3>Norms by block</h3>{legend(study.models)}"
        "<p class=soft>Patch tokens, means over pictures. Solid: median. Dashed: 99th "
        "percentile. Thin: the largest.</p>"
        f'<div class="charts">{_norms(study)}</div>{_outlier_table(study)}'
        f"{_token_maps(shown)}<h3>Where the range arises</h3>"
        "<p>Root mean square of what passes each stage, mean over pictures. Where two "
        "lines part, a range is made.</p>"
        f'{legend(study.models)}<div class="slanted">{_stages(study)}</div>'
        f"{_gains(study)}"
    )


def _norms(study: Study) -> str:
    """Return two charts on one scale: before the final LayerNorm and after it."""
    charts, everything = [], []
    for title, prefix in (
        ("before the final LayerNorm", ""),
        ("after it, as the head receives them", "after_"),
    ):
        series = []
        for hue, model in enumerate(study.models):
            norms = [picture.seen[model].norms for picture in study.pictures]
            for name, css in (
                ("median", ""),
                ("p99", "dashed bare"),
                ("largest", "bare"),
            ):
                rows = [getattr(one, prefix + name) for one in norms]
                values = np.mean(rows, axis=0).tolist()
                series.append((f"{model}, {name}", hue, css, values))
                everything += values
        charts.append((title, series))
    axis = Axis(*_decades(everything), log=True)
    # Networks differ in depth: each fills the width, by the share of its blocks.
    length = max(len(values) for _, series in charts for *_, values in series)
    labels = ["embedding", *[""] * (length - 2), "last block"]
    return "".join(
        lines(
            [(n, h, c, _stretched(values, length)) for n, h, c, values in series],
            labels,
            axis,
            title,
        )
        for title, series in charts
    )


def _stretched(values: Sequence[float], length: int) -> list[float]:
    """Return as many values, those between read off the line through the given."""
    at = np.linspace(0, 1, length)
    return np.interp(at, np.linspace(0, 1, len(values)), values).tolist()


def _decades(values: Sequence[float]) -> tuple[float, float]:
    known = [v for v in values if v > 0]
    if not known:
        return 0.1, 10.0
    return min(known) * 0.8, max(known) * 1.25


def _outlier_table(study: Study) -> str:
    rows = []
    for hue, model in enumerate(study.models):
        norms = [picture.seen[model].norms for picture in study.pictures]
        shares = np.mean([one.outliers for one in norms], axis=0)
        above = np.mean([one.published for one in norms], axis=0)
        special = np.array([one.special for one in norms])
        block = int(np.argmax(shares)) if shares.any() else len(shares) - 1
        row = [
            key(hue, model),
            "embedding" if block == 0 else f"block {block - 1}",
            share(shares[block]),
            share(above.max()),
            number(float(np.mean([one.median[-1] for one in norms]))),
            number(float(np.mean([one.after_median[-1] for one in norms]))),
            number(None if np.isnan(special).all() else float(np.nanmax(special))),
        ]
        rows.append(row)
    head = ["", "most outliers after", f"above {OUTLIER:g} × median"]
    head += [f"above {PUBLISHED:g}", "median, last block", "after LayerNorm"]
    head += ["longest cls or register"]
    return table(head, rows) + (
        f"<p class=soft>A patch token is an outlier above {OUTLIER:g} times the median "
        f"norm of its block; {PUBLISHED:g} is what the authors of the registers paper "
        "chose by eye for ViT-g, where 2.37 % lay above it. Cls and register tokens "
        "count in neither, since the head never sees them.</p>"
    )


def _token_maps(shown: Sequence[Compared]) -> str:
    rows = []
    for picture in shown[:_MAPPED]:
        parts = [figure(jpeg(picture.photo, 75), picture.name, escape(picture.name))]
        for hue, (model, seen) in enumerate(picture.seen.items()):
            norms = seen.norms
            where = DepthMap(norms.where.astype(np.float32), "inverse_depth")
            pixels = colorize(where, "inferno", 0.0, OUTLIER)
            after = "the embedding" if norms.block == 0 else f"block {norms.block - 1}"
            caption = (
                f"{key(hue, model)}<br>after {after}, largest "
                f"{number(float(norms.where.max()))} × median"
            )
            alt = f"token norms of {model}"
            parts.append(figure(png(pixels), alt, caption, "tokens"))
        rows.append(strip(parts))
    return (
        "<h3>Where they sit</h3><p class=soft>Norm of each patch token over the "
        f"median, black 0 to pale yellow {OUTLIER:g} and beyond, after the block with "
        "most outliers, or the last where there are none.</p>" + "".join(rows)
    )


def _stages(study: Study) -> str:
    series, everything = [], []
    for hue, model in enumerate(study.models):
        sizes = mean_rms(study, model)
        values = [sizes[stage] for stage in STAGES]
        everything += values
        series.append((model, hue, "", values))
    low, high = _decades(everything)
    labels = [_SHORT[stage] for stage in STAGES]
    return lines(
        series, labels, Axis(low, high, log=True), "root mean square, logarithmic"
    )


def _gains(study: Study) -> str:
    names = list(STAGES)
    rows = []
    for before, stage in zip(["", *names], names, strict=False):
        row = [escape(STAGES[stage])]
        for model in study.models:
            sizes = mean_rms(study, model)
            gain = ""
            if before and sizes[before] > 0:
                gain = (
                    f" <span class=soft>× {number(sizes[stage] / sizes[before])}</span>"
                )
            row.append(number(sizes[stage]) + gain)
        rows.append(row)
    head = [
        "root mean square, and gain over the stage before",
        *map(escape, study.models),
    ]
    return (
        f"<details><summary>The numbers</summary>{table(head, rows)}"
        "<p class=soft>Each fusion also receives a level of its own beside the stage "
        "before; the stem of a hybrid enters at the levels.</p></details>"
    )
