"""What the figures say, in sentences that are computed, not repeated."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from jax_depth.config import HybridConfig
from jax_depth.study.experiments import FACTOR, Outcome
from jax_depth.study.probe import OUTLIER, PUBLISHED
from jax_depth.study.ranges import Range, typical
from jax_depth.study.run import Study

# A spread that changes by less than this share counts as unchanged, and so does a shape
# that moves by fewer mean absolute deviations than the second number: LayerNorm adds
# 1e-6 to the variance, which short tokens feel, and bfloat16 rounds to 1 in 256.
UNCHANGED = 0.01
SAME_SHAPE = 0.05
# A loss that changes by less than this share counts as the same: float32 sums.
BLIND = 1e-5


def typical_range(study: Study, model: str) -> Range | None:
    """Return a model's median range over the pictures; None without any."""
    seen = [picture.seen[model].raw for picture in study.pictures]
    known = [one for one in seen if one is not None]
    return typical(known) if known else None


def mean_rms(study: Study, model: str) -> dict[str, float]:
    """Return a model's root mean square of each stage over the pictures."""
    rows = [picture.seen[model].rms for picture in study.pictures]
    return {
        stage: float(np.sqrt(np.mean([row[stage] ** 2 for row in rows])))
        for stage in rows[0]
    }


def mean_agreement(study: Study, one: str, other: str) -> tuple[dict[str, float], int]:
    """Return the means over pictures of the figures of `agreement`, and how many."""
    found = [picture.agreements[one, other] for picture in study.pictures]
    good = [a for a in found if not isinstance(a, str)]
    means = {}
    for name in ("abs_rel", "d1", "spearman", "edges", "metres_abs_rel", "metres_d1"):
        values = [v for a in good if (v := getattr(a, name)) is not None]
        if values:
            means[name] = float(np.mean(values))
    return means, len(good)


def headlines(study: Study) -> list[str]:
    """Return the answer in a few sentences: ranges, agreement, cause."""
    if not study.pictures:
        return []
    return [*_about_ranges(study), *_about_agreement(study), *verdict(study)[:1]]


def _about_ranges(study: Study) -> Iterator[str]:
    found = [(model, typical_range(study, model)) for model in _relative(study)]
    known = [(m, r) for m, r in found if r is not None and r.p98 > 0]
    if len(known) > 1:
        (small, low), *_, (large, high) = sorted(known, key=lambda entry: entry[1].p98)
        yield (
            f"Raw inverse depth of {large} typically reaches {high.p98:.3g} (98th "
            f"percentile), that of {small} {low.p98:.3g}: a factor of "
            f"{high.p98 / low.p98:.3g} between models that look at the same pictures."
        )
    metric = [m for m in study.models if m not in _relative(study)]
    if metric:
        yield (
            f"{_listed(metric)} {'gives' if len(metric) == 1 else 'give'} metres or "
            "depth, not inverse depth: larger is farther, and raw values of the two "
            "kinds must not be compared."
        )


def _about_agreement(study: Study) -> Iterator[str]:
    pairs = [
        (pair, mean_agreement(study, *pair)[0])
        for pair in itertools.permutations(study.models, 2)
    ]
    pairs = [(pair, means) for pair, means in pairs if means]
    if not pairs:
        return
    ((best, other), means) = max(pairs, key=lambda entry: entry[1]["spearman"])
    ((one, worst), least) = min(pairs, key=lambda entry: entry[1]["spearman"])
    if len(pairs) <= 2:
        yield (
            f"Scale and shift aligned, {best} differs from {other} by "
            f"{means['abs_rel']:.1%} of depth on average; the two order pixels with a "
            f"rank correlation of {means['spearman']:.3f}."
        )
        return
    yield (
        f"Scale and shift aligned, {best} and {other} agree best (AbsRel "
        f"{means['abs_rel']:.3f}, Spearman {means['spearman']:.3f}), {one} and {worst} "
        f"least (AbsRel {least['abs_rel']:.3f}, Spearman {least['spearman']:.3f})."
    )


def verdict(study: Study) -> list[str]:
    """Say whether the norm of tokens can reach the output range of these models.

    The first sentence is the verdict, the others are its grounds.
    """
    tried = {m: o for m, o in study.experiments.items() if not isinstance(o, str)}
    refused = {m: o for m, o in study.experiments.items() if isinstance(o, str)}
    grounds = [can_norms_reach(tried)] if tried else []
    grounds += [
        f"{model} could not be edited: {why}." for model, why in refused.items()
    ]
    grounds += [
        _last_layer(study, model, outcomes) for model, outcomes in tried.items()
    ]
    grounds += list(_between(study))
    grounds += [_outliers(study, model) for model in study.models]
    grounds += [
        _stem(outcomes[-1], model)
        for model, outcomes in tried.items()
        if isinstance(study.configs[model].encoder, HybridConfig)
    ]
    return grounds


def can_norms_reach(tried: Mapping[str, list[Outcome]]) -> str:
    """Say whether the norm of tokens reached the map of any model.

    Args:
        tried: model -> outcomes of `experiments`, at least one.
    """
    reached = [model for model, outcomes in tried.items() if _reaches(outcomes)]
    most = max(map(_token_change, tried.values()))
    longer = f"with every token {FACTOR:g} times as long, in every block,"
    if reached:
        return (
            f"Token norm does reach the output of {_listed(reached)}: {longer} the "
            f"spread of the map changes by up to {most:.2g} %."
        )
    by = "less than 0.01" if most < 0.01 else f"at most {most:.2g}"
    return (
        "Token norm cannot reach the output range of "
        f"{'any model' if len(tried) > 1 else 'the model'} compared here: {longer} the "
        f"spread of the map changes by {by} %."
    )


def _reaches(outcomes: list[Outcome]) -> bool:
    """Whether either edit of the norms moved the map."""
    edits = [o for o in outcomes if "token" in o.name]
    return any(
        abs(o.spread - 1) > UNCHANGED or o.shape is None or o.shape > SAME_SHAPE
        for o in edits
    )


def _token_change(outcomes: list[Outcome]) -> float:
    """Return by how many per cent the spread moved when norms did, at most."""
    return max(100 * abs(o.spread - 1) for o in outcomes if "token" in o.name)


def _last_layer(study: Study, model: str, outcomes: list[Outcome]) -> str:
    plain, larger = outcomes[:2]
    did = (
        f"{model}: the last layer times {FACTOR:g} makes the spread "
        f"{larger.spread:.4g} times what it was and "
    )
    moved = abs(larger.loss - plain.loss)
    if moved <= BLIND * plain.loss:
        return (
            f"{did}leaves the affine-invariant loss at {plain.loss:.6f} (it moves by "
            f"{moved:.1g}). The loss cannot tell the two apart, so training had no "
            "reason to prefer either range."
        )
    did += f"moves the affine-invariant loss from {plain.loss:.4f} to {larger.loss:.4f}"
    if study.configs[model].kind == "metric_depth":
        return (
            f"{did}: its last activation fixes the scale, so a metric model has no "
            "free range."
        )
    return f"{did}."


def _between(study: Study) -> Iterator[str]:
    """Yield where the ratio of two models' sizes of output arises."""
    models = _relative(study)
    if len(models) < 2:
        return
    sizes = {model: mean_rms(study, model) for model in models}
    order = sorted(models, key=lambda model: sizes[model]["raw"])
    low, high = sizes[order[0]], sizes[order[-1]]
    if not (low["raw"] > 0 and low["taps"] > 0):
        return
    whole = high["raw"] / low["raw"]
    tokens, taps = high["tokens"] / low["tokens"], high["taps"] / low["taps"]
    yield (
        f"The output of {order[-1]} is {whole:.3g} times that of {order[0]} (root mean "
        f"square). Its tapped tokens are {tokens:.3g} times as large before the final "
        f"LayerNorm and {taps:.3g} times after it; the head's gain makes the other "
        f"{whole / taps:.3g}."
    )
    by_norm = sorted(models, key=lambda model: sizes[model]["tokens"])
    if by_norm == order:
        yield (
            "Ordered by token norm the models stand as ordered by output. That is no "
            "cause: the norm is divided out before the head, as the edits show."
        )
    else:
        yield (
            f"Ordered by token norm: {', '.join(by_norm)}; by output: "
            f"{', '.join(order)}. The two orders differ."
        )


def _outliers(study: Study, model: str) -> str:
    norms = [picture.seen[model].norms for picture in study.pictures]
    shares = np.mean([one.outliers for one in norms], axis=0)
    above = float(np.max(np.mean([one.published for one in norms], axis=0)))
    block = int(np.argmax(shares))
    after = max(float((one.after_largest / one.after_median).max()) for one in norms)
    before = max(float((one.largest / one.median).max()) for one in norms)
    found = (
        f"at most {shares[block]:.2%} of patch tokens are outliers, {_block(block)}"
        if shares[block] > 0
        else "no patch token is an outlier in any block"
    )
    return (
        f"{model}: {found} (norm above {OUTLIER:g} times its block's median); "
        f"{above:.2%} exceed {PUBLISHED:g} in the block where most do. The longest "
        f"token is {before:.3g} times the median before the final LayerNorm, "
        f"{after:.3g} times after it."
    )


def _stem(outcome: Outcome, model: str) -> str:
    return (
        f"{model} is a hybrid: two maps of its stem enter the head without a "
        f"LayerNorm, and those times {FACTOR:g} make the spread {outcome.spread:.3g} "
        f"times what it was and bend the map by {_or_unknown(outcome.shape)} mean "
        "absolute deviations. The sizes of those maps, not of its tokens, can reach "
        "its output."
    )


def _block(index: int) -> str:
    return "after the embedding" if index == 0 else f"after block {index - 1}"


def _or_unknown(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:.2g}"


def _relative(study: Study) -> list[str]:
    return [m for m in study.models if study.configs[m].kind == "inverse_depth"]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
