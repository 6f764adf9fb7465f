"""What goes into the page about tokens: their norms, and where a range arises."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.outputs.color import colorize
from jax_depth.study.charts import (
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
from jax_depth.study.findings import mean_rms, verdict
from jax_depth.study.probe import OUTLIER, PUBLISHED, STAGES
from jax_depth.study.run import Compared, Study
from jax_depth.study.template import Html, fill

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


def values(study: Study, shown: Sequence[Compared]) -> dict[str, Any]:
    """Return what the section "tokens" of the template is filled with."""
    return {
        "verdict": [fill("item", text=sentence) for sentence in verdict(study)],
        "legend": legend(study.models),
        "norms": _norms(study),
        "outliers": _outlier_table(study),
        "outlier": f"{OUTLIER:g}",
        "published": f"{PUBLISHED:g}",
        "token_maps": [_token_maps(picture) for picture in shown[:_MAPPED]],
        "stages": _stages(study),
        "gains": _gains(study),
    }


def _norms(study: Study) -> list[Html]:
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
    return [
        lines(
            [(n, h, c, _stretched(values, length)) for n, h, c, values in series],
            labels,
            axis,
            title,
        )
        for title, series in charts
    ]


def _stretched(values: Sequence[float], length: int) -> list[float]:
    """Return as many values, those between read off the line through the given."""
    at = np.linspace(0, 1, length)
    return np.interp(at, np.linspace(0, 1, len(values)), values).tolist()


def _decades(values: Sequence[float]) -> tuple[float, float]:
    known = [v for v in values if v > 0]
    if not known:
        return 0.1, 10.0
    return min(known) * 0.8, max(known) * 1.25


def _outlier_table(study: Study) -> Html:
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
    return table(head, rows)


def _token_maps(picture: Compared) -> Html:
    parts = [figure(jpeg(picture.photo, 75), picture.name, picture.name)]
    for hue, (model, seen) in enumerate(picture.seen.items()):
        norms = seen.norms
        where = DepthMap(norms.where.astype(np.float32), "inverse_depth")
        pixels = colorize(where, "inferno", 0.0, OUTLIER)
        after = "the embedding" if norms.block == 0 else f"block {norms.block - 1}"
        largest = f"after {after}, largest {number(float(norms.where.max()))} × median"
        caption = fill("two_lines", first=key(hue, model), second=largest)
        alt = f"token norms of {model}"
        parts.append(figure(png(pixels), alt, caption, "tokens"))
    return strip(parts)


def _stages(study: Study) -> Html:
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


def _gains(study: Study) -> Html:
    names = list(STAGES)
    rows = []
    for before, stage in zip(["", *names], names, strict=False):
        row: list[str] = [STAGES[stage]]
        for model in study.models:
            sizes = mean_rms(study, model)
            text = number(sizes[stage])
            if before and sizes[before] > 0:
                gain = f"× {number(sizes[stage] / sizes[before])}"
                text = fill("soft_after", text=text, more=gain)
            row.append(text)
        rows.append(row)
    head = ["root mean square, and gain over the stage before", *study.models]
    return table(head, rows)
