"""The study as one page that needs nothing but itself."""

import importlib.resources
from collections.abc import Sequence
from html import escape

import jax

from jax_depth import __version__
from jax_depth.study.agreement import REACH
from jax_depth.study.common_form import LONGEST
from jax_depth.study.disagreement import EDGES
from jax_depth.study.findings import headlines
from jax_depth.study.html_causes import loss_section, tokens_section
from jax_depth.study.html_maps import (
    agreement_section,
    canonical_section,
    disagreement_section,
    ranges_section,
    side_by_side_section,
)
from jax_depth.study.html_parts import key, table
from jax_depth.study.run import Compared, Study

_KINDS = {
    "inverse_depth": "inverse depth, no unit",
    "depth": "depth, no unit",
    "metric_depth": "metres",
}


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
    sections = (
        ("ranges", "What the raw numbers span", ranges_section(study, pictures)),
        ("canonical", "The same in canonical form", canonical_section(study, pictures)),
        ("maps", "Side by side", side_by_side_section(study, pictures)),
        ("agreement", "How far they agree", agreement_section(study)),
        ("differences", "Where they disagree", disagreement_section(study)),
        ("loss", "Why ranges differ: the loss is blind to them", loss_section(study)),
        (
            "tokens",
            "Is it the norm of tokens?",
            tokens_section(study, pictures),
        ),
        ("use", "What to do about it", _USE),
        ("method", "How it was measured", _method(study, len(pictures))),
    )
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in sections)
    body = "".join(
        f'<section id="{anchor}"><h2>{title}</h2>{text}</section>'
        for anchor, title, text in sections
    )
    css = importlib.resources.files("jax_depth.study").joinpath("report.css")
    title = f"Depth by {', '.join(study.models)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An empty icon: browsers ask the server for one otherwise.
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{css.read_text(encoding='utf-8')}</style></head><body><main>"
        f"<h1>Why do these models speak in different numbers?</h1>{_lead(study)}"
        f"<nav>{links}</nav>{_findings(study)}{_models(study)}{body}</main></body></html>"
        "\n"
    )


def _lead(study: Study) -> str:
    models, pictures = len(study.models), len(study.pictures)
    return (
        f'<p class="lead">{models} model{"s" * (models > 1)}, {pictures} '
        f"picture{'s' * (pictures > 1)}: what their numbers span, how far they agree "
        "once scale and shift are out of the way, and what makes the difference.</p>"
    )


def _findings(study: Study) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in headlines(study))
    failed = "".join(
        f"<li>Left out: {escape(reason)}</li>" for reason in study.failed.values()
    )
    return f'<div class="findings"><ul>{items}{failed}</ul></div>'


def _models(study: Study) -> str:
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


_USE = """\
<ul>
<li><b>Compare two relative models, or two frames:</b> in canonical form,
<code>depth.canonical()</code>, or with one aligned to the other,
<code>depth.align_to(other)</code>. Never raw.</li>
<li><b>Show several maps on one scale:</b> <code>jax-depth calibrate PHOTOS</code> once
per model, then <code>jax-depth predict --range calibrated</code>.</li>
<li><b>Metres from a relative model:</b> <code>depth.to_metric(points=[(x, y, metres),
…])</code> from two or more known distances, or <code>depth=…, mask=…</code> from a
sensor. Scale and shift are fitted for each picture; they do not carry over.</li>
<li><b>Depth without a unit:</b> <code>depth.to_depth(floor=…)</code>. The floor decides
how far the farthest point may be, since inverse depth 0 is infinitely far.</li>
<li><b>Metric models:</b> use the metres; check the scale against one known distance
with <code>to_metric(points=…)</code>, which fits a scale alone.</li>
</ul>
<p>A larger range is not a better model, and a value of 5 means something only beside
other values of the same map.</p>
"""


def _method(study: Study, shown: int) -> str:
    left = len(study.pictures) - shown
    note = f"<li>{left} more pictures are counted and not shown.</li>" if left else ""
    return (
        "<ul class=soft>"
        "<li>Ranges are of all values at the photo's own size, where the network's map "
        "is brought bilinearly as the original code does.</li>"
        f"<li>Maps are compared at every n-th pixel, at most {LONGEST} a side.</li>"
        "<li>Agreement: least squares of scale and shift in inverse depth, float64. "
        "The reference's largest inverse depth counts as depth 1, its zero as "
        f"infinitely far, cut off at depth {REACH:g}. AbsRel and δ1 of depth; edges by "
        "the boundary F1 of Depth Pro (arXiv:2410.02073), over what the reference "
        "scores against itself; Spearman needs no alignment.</li>"
        f"<li>Edges in “where they disagree”: the steepest {EDGES:.0%} of pixels.</li>"
        "<li>Norms and root mean squares are read inside the network, in the run that "
        "gave the maps. LayerNorm adds 1e-6 to a token's variance, which very short "
        "tokens feel: models with random weights have some.</li>"
        f"{note}"
        f"<li>jax_depth {__version__}, JAX {jax.__version__} on "
        f"{escape(jax.devices()[0].device_kind)}. All figures are in study.json, "
        "ranges.csv and agreement.csv beside this page.</li></ul>"
    )
