"""The study as JSON and CSV."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_depth import __version__
from jax_depth.evaluation.report import csv_text
from jax_depth.study.agreement import Agreement
from jax_depth.study.findings import headlines, verdict
from jax_depth.study.probe import OUTLIER, PUBLISHED, TokenNorms
from jax_depth.study.run import Compared, Study


def to_document(study: Study) -> dict[str, Any]:
    """Return everything but pictures, ready for JSON; what is unknown is None."""
    return _plain(
        {
            "jax_depth": __version__,
            "findings": headlines(study),
            "verdict": verdict(study),
            "models": {
                model: {
                    "kind": config.kind,
                    "max_depth": config.max_depth,
                    "parameters": study.parameters[model],
                    "size": study.sizes[model][0],
                    "resample": study.sizes[model][1],
                    "dtype": config.dtype,
                }
                for model, config in study.configs.items()
            },
            "pictures": [_picture(picture) for picture in study.pictures],
            "experiments": {
                model: outcomes
                if isinstance(outcomes, str)
                else [dataclasses.asdict(outcome) for outcome in outcomes]
                for model, outcomes in study.experiments.items()
            },
            "thresholds": {"outlier": OUTLIER, "published": PUBLISHED},
            "failed": study.failed,
        }
    )


def ranges_csv(study: Study) -> str:
    """Return one row per picture and model: raw and canonical range."""
    rows = []
    for picture in study.pictures:
        for model, seen in picture.seen.items():
            row: dict[str, Any] = {"picture": picture.name, "model": model}
            row |= {"kind": seen.depth.kind, "unit": seen.depth.unit or ""}
            for prefix, found in (("", seen.raw), ("canonical_", seen.common)):
                if found is not None:
                    row |= {
                        prefix + name: value
                        for name, value in dataclasses.asdict(found).items()
                    }
            rows.append({**row, "note": seen.note})
    return csv_text(rows)


def agreement_csv(study: Study) -> str:
    """Return one row per picture and ordered pair of models."""
    rows = []
    for picture in study.pictures:
        for (one, other), found in picture.agreements.items():
            row = {"picture": picture.name, "model": one, "reference": other}
            rows.append(row | _agreement(found))
    return csv_text(rows)


def _picture(picture: Compared) -> dict[str, Any]:
    different = picture.differing and {
        field.name: getattr(picture.differing, field.name)
        for field in dataclasses.fields(picture.differing)
        if field.name != "spread"
    }
    return {
        "name": picture.name,
        "height": picture.size[0],
        "width": picture.size[1],
        "models": {
            model: {
                "network": seen.network,
                "raw": seen.raw and dataclasses.asdict(seen.raw),
                "canonical": seen.common and dataclasses.asdict(seen.common),
                "note": seen.note,
                "tokens": _norms(seen.norms),
                "rms": seen.rms,
            }
            for model, seen in picture.seen.items()
        },
        "agreement": [
            {"model": one, "reference": other, **_agreement(found)}
            for (one, other), found in picture.agreements.items()
        ],
        "disagreement": different,
    }


def _agreement(found: Agreement | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"notes": found}
    return {**dataclasses.asdict(found), "notes": "; ".join(found.notes)}


def _norms(norms: TokenNorms) -> dict[str, Any]:
    return {
        field.name: getattr(norms, field.name)
        for field in dataclasses.fields(norms)
        if field.name != "where"
    }


def _plain(value: Any) -> Any:
    """Return plain lists and numbers; JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
