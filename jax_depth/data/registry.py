"""Datasets by name: what `--data hypersim:/path` and a recipe's mixture mean."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import parse_qsl

from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import DatasetError
from jax_depth.formats.address import local

# Name -> module and class in jax_depth.data, imported when asked for.
DATASETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "hypersim": ("hypersim", "Hypersim"),
        "vkitti2": ("vkitti2", "VirtualKitti2"),
        "tartanair": ("tartanair", "TartanAir"),
        "irs": ("irs", "Irs"),
        "blendedmvs": ("blendedmvs", "BlendedMvs"),
        "nyu": ("nyu", "NyuV2"),
        "kitti": ("kitti", "Kitti"),
        "diode": ("diode", "Diode"),
        "sintel": ("sintel", "Sintel"),
        "eth3d": ("eth3d", "Eth3d"),
        "unlabelled": ("unlabelled", "Unlabelled"),
        "pairs": ("pairs", "Pairs"),
        "labels": ("labels", "Labels"),
        "packed": ("packed", "Packed"),
        "rendered": ("rendered", "Rendered"),
    }
)


def open_dataset(text: str) -> Dataset:
    """Open `name:path` or `name:path?option=value&option=value`.

    The options are those of the reader's class, all as text; `weight` is not one of
    them (see `open_mixture`).

    Raises:
        DatasetError: unknown name or option, a missing one, or whatever the reader
            finds wrong.
    """
    dataset, weight = _open(text)
    if weight is not None:
        raise DatasetError(f"{text}: weight means nothing for a single dataset")
    return dataset


def open_mixture(texts: Sequence[str]) -> tuple[list[Dataset], list[float] | None]:
    """Open several datasets and return them with their weights.

    Each is written as for `open_dataset`, with `weight=` among the options of all or of
    none: without, the samples of all count the same (weights None, for `Loader`).

    Raises:
        DatasetError: as `open_dataset`, or some have a weight and some not.
    """
    opened = [_open(text) for text in texts]
    weights = [weight for _, weight in opened if weight is not None]
    if weights and len(weights) < len(opened):
        raise DatasetError(
            f"{len(weights)} of the {len(opened)} datasets have a weight; give one to "
            "all or to none"
        )
    return [dataset for dataset, _ in opened], weights or None


def reader(name: str) -> Callable[..., Dataset]:
    """Return the class that reads a format.

    Raises:
        DatasetError: the name is unknown.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        raise DatasetError(
            f"the dataset {name!r} is unknown; "
            + (f"did you mean {near[0]!r}? " if near else "")
            + f"known: {', '.join(DATASETS)}"
        )
    module, class_name = DATASETS[name]
    return getattr(importlib.import_module(f"jax_depth.data.{module}"), class_name)


def _open(text: str) -> tuple[Dataset, float | None]:
    name, colon, rest = text.partition(":")
    path, _, query = rest.partition("?")
    if not colon or not path:
        raise DatasetError(
            f"{text!r} names no dataset; write name:path, as in hypersim:/data; the "
            f"names are {', '.join(DATASETS)}"
        )
    kind = reader(name)
    try:
        local(path, name)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        if query:
            raise DatasetError(
                f"{text!r}: options after ? are name=value, joined by &"
            ) from None
        options = {}
    weight = _weight(text, options.pop("weight")) if "weight" in options else None
    dataset = kind(path, **_checked(text, kind, options))
    dataset.text = text
    return dataset, weight


def _checked(
    text: str, kind: Callable[..., Dataset], options: dict[str, str]
) -> dict[str, str]:
    """Return the options, all of which the reader knows."""
    parameters = list(inspect.signature(kind).parameters.values())[1:]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return options  # the reader checks them itself
    known = [parameter.name for parameter in parameters]
    for option in options:
        if option not in known:
            raise DatasetError(
                f"{text!r}: the reader has no option {option!r}; it has: "
                f"{', '.join([*known, 'weight'])}"
            )
    return options


def _weight(text: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise DatasetError(f"{text!r}: weight={word} is not a number") from None
