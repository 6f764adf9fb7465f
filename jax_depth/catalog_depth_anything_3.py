"""Rows of the catalogue: Depth Anything 3."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jax_depth.catalog_entry import (
    APACHE,
    HEADS,
    NC,
    SHAPES,
    SIZES,
    TAPS_V2,
    Entry,
    encoder,
)
from jax_depth.config import (
    AnyViewConfig,
    DualHeadConfig,
    ModelConfig,
    SkyHeadConfig,
)

_START = {"small": 4, "base": 4, "large": 8, "giant": 13}
_TAPS = {
    "small": (5, 7, 9, 11),
    "base": (5, 7, 9, 11),
    "large": (11, 15, 19, 23),
    "giant": (19, 27, 33, 39),
}
_PARAMETERS = {
    "small": 34_299_463,
    "base": 135_366_599,
    "large": 410_941_767,
    "giant": 1_355_674_125,
}
_MONO_PARAMETERS = 334_171_394
_COMMON: dict[str, Any] = {
    "kind": "depth",
    "image_size": 504,
    "resample": "upper_bound_resize",
    # Ours: the authors stay at the network's size.
    "restore": "half_pixel",
}


def _any_view(name: str, size: str) -> ModelConfig:
    width, depth, heads, hidden = SHAPES[size]
    any_view = AnyViewConfig(
        width=width,
        depth=depth,
        heads=heads,
        taps=_TAPS[size],
        mlp="swiglu" if size == "giant" else "gelu",
        mlp_hidden=hidden,
        start=_START[size],
    )
    # The giant has the large one's head here, unlike in V2.
    head = HEADS["large" if size == "giant" else size]
    head = DualHeadConfig(head.features, head.channels)
    return ModelConfig(f"depth-anything-3-{name}", any_view, head, **_COMMON)


def _mono(name: str, canonical_focal: float | None = None) -> ModelConfig:
    mono = dataclasses.replace(
        encoder("large", TAPS_V2["large"]), norm_epsilon=1e-5, mask_token=False
    )
    head = SkyHeadConfig(HEADS["large"].features, HEADS["large"].channels)
    return ModelConfig(
        f"depth-anything-3-{name}",
        mono,
        head,
        canonical_focal=canonical_focal,
        **_COMMON,
    )


def _da3(config: ModelConfig, parameters: int, licence: str, note: str = "") -> Entry:
    name = config.name.removeprefix("depth-anything-3-").upper()
    # DA3-SMALL and DA3-LARGE-1.1, yet DA3MONO-LARGE and DA3NESTED-GIANT-LARGE.
    dash = "" if name.startswith(("MONO", "METRIC", "NESTED")) else "-"
    repository = f"depth-anything/DA3{dash}{name}"
    return Entry(
        config=config,
        parameters=parameters,
        licence=licence,
        repository=repository,
        original=f"{repository}/model.safetensors",
        note=note,
    )


def depth_anything_3() -> list[Entry]:
    again = "the authors' second training of the same network"
    doubt = "; its model card says Apache-2.0, the authors' README CC-BY-NC-4.0"
    metric = _mono("metric-large", canonical_focal=300.0)
    entries = [
        _da3(
            _any_view("small", "small"),
            _PARAMETERS["small"],
            APACHE,
            "some of its training data forbids commercial use; a question about that, "
            "ByteDance-Seed/Depth-Anything-3#203, is unanswered",
        ),
        _da3(_any_view("base", "base"), _PARAMETERS["base"], APACHE),
    ]
    for size in ("large", "giant"):
        count = _PARAMETERS[size]
        note = again + (doubt if size == "large" else "")
        entries.append(_da3(_any_view(size, size), count, NC))
        entries.append(_da3(_any_view(f"{size}-1.1", size), count, NC, note))
    entries.append(_da3(_mono("mono-large"), _MONO_PARAMETERS, APACHE))
    entries.append(_da3(metric, _MONO_PARAMETERS, APACHE))
    for suffix in ("", "-1.1"):
        config = dataclasses.replace(
            _any_view(f"nested-giant-large{suffix}", "giant"), metric=metric
        )
        count = _PARAMETERS["giant"] + _MONO_PARAMETERS
        entries.append(_da3(config, count, NC, again if suffix else ""))
    return entries


# What the hub's config.json calls each; a second training bears the first one's name.
DEPTH_ANYTHING_3_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{f"da3-{size}": f"depth-anything-3-{size}" for size in SIZES},
        "da3mono-large": "depth-anything-3-mono-large",
        "da3metric-large": "depth-anything-3-metric-large",
        "da3nested-giant-large": "depth-anything-3-nested-giant-large",
    }
)
