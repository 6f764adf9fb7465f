"""Types and ranges of a model description, checked before anything is traced."""

import dataclasses
import json
import math
import types
import typing
from typing import Any, Literal, Union

# Field -> smallest and largest value, far beyond every network there is. A value wrong
# by a factor of a thousand would be traced for hours, or not at all.
_RANGES: dict[str, tuple[float, float]] = {
    "width": (1, 1 << 16),
    "depth": (1, 1000),
    "heads": (1, 1 << 16),
    "taps": (0, 999),
    "mlp_hidden": (0, 1 << 18),
    "patch_size": (1, 256),
    "position_grid": (1, 4096),
    "position_offset": (-1, 1),
    "registers": (0, 256),
    "norm_epsilon": (0, 1),
    "start": (0, 999),
    "rope_base": (1e-6, 1e12),
    "features": (1, 1 << 16),
    "channels": (1, 1 << 16),
    "output_channels": (1, 1 << 16),
    "frames": (1, 4096),
    "image_size": (1, 1 << 16),
    "coarse_size": (16, 1 << 16),
    "max_depth": (1e-6, 1e9),
    "canonical_focal": (1e-6, 1e9),
    "mean": (-1e3, 1e3),
    "std": (1e-6, 1e3),
}
_MAX_NAME = 200


def check_config(config: Any, where: str = "") -> None:
    """Check every field of a `ModelConfig`, its encoder, its head and its second model.

    Taps may repeat and need not rise; a width is any multiple of the heads.

    Args:
        config: the description.
        where: what goes before a field's name in the message, such as "encoder.".

    Raises:
        ValueError: a field of another type or out of range; the message names it.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        check_field(field.name, getattr(config, field.name), hints[field.name], where)
    if hasattr(config, "heads"):
        _check_blocks(config, where)
    for name in ("encoder", "head", "metric"):
        part = getattr(config, name, None)
        if part is not None:
            if name == "metric" and where:
                raise ValueError(f"{where}metric: a second model has none of its own")
            check_config(part, f"{where}{name}.")


def check_field(name: str, value: Any, hint: Any, where: str = "") -> None:
    """Check one field's type and range.

    Raises:
        ValueError: naming the field and, in short, its value.
    """
    if not _fits(value, hint):
        raise ValueError(f"{where}{name} is {_short(value)}, not {_described(hint)}")
    numbers = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if isinstance(number, str) and len(number) > _MAX_NAME:
            raise ValueError(f"{where}{name} has {len(number)} characters")
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        low, high = _RANGES.get(name, (-math.inf, math.inf))
        if not low <= number <= high or not -math.inf < number < math.inf:
            raise ValueError(
                f"{where}{name} is {_short(value)}, not between {low:g} and {high:g}"
            )


def _check_blocks(encoder: Any, where: str) -> None:
    if encoder.width % encoder.heads:
        raise ValueError(
            f"{where}width is {encoder.width}, not a multiple of the {encoder.heads} "
            "heads"
        )
    for tap in encoder.taps:
        if tap >= encoder.depth:
            raise ValueError(
                f"{where}taps names block {tap}; there are {encoder.depth}, counted "
                "from 0"
            )


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple) or len(value) > 64:
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool, str, type(None)):
        return type(value) is hint
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(map(_described, arguments))
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} of "
        return f"a list: {count}{_described(arguments[0])}"
    known = {int: "a whole number", float: "a number", bool: "true or false"}
    known |= {str: "text", type(None): "null"}
    return known.get(hint, f"an object ({hint.__name__})")


def _short(value: Any) -> str:
    """Return a value for a message; a very long one is cut."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if dataclasses.is_dataclass(value) or isinstance(value, dict):
        return "an object"
    if isinstance(value, tuple) and any(isinstance(x, tuple | dict) for x in value):
        return "a list of lists or objects"
    if isinstance(value, tuple):
        value = [_short(x) if isinstance(x, int) else x for x in value[:8]]
    text = repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def parsed(text: str) -> Any:
    """Return a JSON document, which may begin with the mark of Windows' Notepad.

    Raises:
        ValueError: the text is not JSON, or a key occurs twice.
        RecursionError: it is nested too deep.
    """
    return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:100]!r} occurs twice")
    return document
