"""Changes to a recipe by dotted key, as on the command line, checked before use."""

import ast
import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable
from typing import Any

from jax_depth.formats.json_file import parse_own
from jax_depth.training.losses.registry import Term
from jax_depth.training.recipe import Recipe, leaves

# Words for values that Python spells differently.
_WORDS = {"true": True, "false": False, "none": None, "inf": math.inf}


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Return a recipe with "optimizer.learning_rate=1e-5" and the like applied.

    All are applied before the whole is checked, since some only fit together.

    Raises:
        ValueError: no "=", an unknown key (the nearest one is named), a value of
            another type, or settings that contradict each other.
    """
    if isinstance(assignments, str):
        raise ValueError(f"give a list of assignments, [{assignments!r}]")
    changes: dict[str, Any] = {}
    for text in assignments:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not an assignment; write 'KEY=VALUE'")
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not an assignment; write KEY=VALUE")
        key = key.strip()
        changes[key] = _parse(key, value.strip(), _type_of(recipe, key))
    return _replace(recipe, changes)


def to_json(recipe: Recipe) -> str:
    """Return a recipe as an indented JSON document."""
    document = dataclasses.asdict(recipe)
    document["loss"]["terms"] = [term.to_json() for term in recipe.loss.terms]
    return json.dumps(document, indent=2) + "\n"


def from_json(text: str) -> Recipe:
    """Return the recipe in a JSON document that `to_json` wrote.

    A setting that is missing has its default: it is younger than the document.

    Raises:
        ValueError: not JSON, a missing section, an unknown key, or a value of another
            type.
    """
    try:
        document = parse_own(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the recipe is not JSON: {error}") from None
    return _build(Recipe, document, "")


def differences(old: Recipe, new: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return key -> (old, new) of the settings that differ."""
    before, after = leaves(old), leaves(new)
    return {k: (before[k], after[k]) for k in after if before[k] != after[k]}


def _replace(value: Any, changes: dict[str, Any]) -> Any:
    direct = {k: v for k, v in changes.items() if "." not in k}
    nested: dict[str, dict[str, Any]] = {}
    for key, v in changes.items():
        head, dot, rest = key.partition(".")
        if dot:
            nested.setdefault(head, {})[rest] = v
    for head, inner in nested.items():
        direct[head] = _replace(getattr(value, head), inner)
    return dataclasses.replace(value, **direct)


def _type_of(recipe: Recipe, key: str) -> Any:
    known = leaves(recipe)
    if key not in known:
        near = " or ".join(map(repr, _nearest(key, known)))
        hint = f"did you mean {near}?" if near else "`--show` lists them"
        raise ValueError(f"no setting is called {key!r}; {hint}")
    owner: Any = recipe
    *parents, name = key.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return typing.get_type_hints(type(owner))[name]


def _nearest(key: str, known: Iterable[str]) -> list[str]:
    """Return the likely key: by its last part or its initials, else a similar one."""
    section, _, last = key.rpartition(".")
    tails = {k: k.rpartition(".")[2] for k in known}
    initials = {k: "".join(w[:1] for w in v.split("_")) for k, v in tails.items()}
    # Someone who leaves the section out means the key's last part.
    found = [k for k in tails if tails[k] == last]
    if len(last) > 1:
        found = found or [k for k in tails if initials[k] == last]
    found = [k for k in found if section and k.startswith(f"{section}.")] or found
    similar = difflib.get_close_matches(last, tails.values(), n=1, cutoff=0.7)
    similar += [v for v in tails.values() if last and last.startswith(f"{v}_")]
    return (
        found
        or difflib.get_close_matches(key, tails, n=1, cutoff=0.8)
        or [k for k in tails if tails[k] in similar]
    )


def _parse(key: str, text: str, kind: Any) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = _WORDS.get(text.lower(), text)
    if kind is str:
        value = text if not (text[:1] in "'\"" and isinstance(value, str)) else value
    return _check(key, value, kind)


def _check(key: str, value: Any, kind: Any) -> Any:
    """Return `value` as `kind` or say what is wrong with it."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if value in options:
            return value
        raise ValueError(
            f"{key}: {value!r} is not one of {', '.join(map(repr, options))}"
        )
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        return _check(key, value, next(o for o in options if o is not type(None)))
    if kind is Term:
        try:
            return Term.from_json(value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    if origin is tuple:
        if isinstance(value, str | int | float):
            value = (value,)
        if options[0] is Term and isinstance(value, tuple) and len(value) > 1:
            # One term, and not a list of them.
            value = (value,) if isinstance(value[1], int | float) else value
        if isinstance(value, list | tuple):
            if options[-1] is Ellipsis:
                options = (options[0],) * len(value)
            if len(options) == len(value):
                pairs = zip(value, options, strict=True)
                return tuple(_check(key, v, o) for v, o in pairs)
        raise ValueError(f"{key}: {value!r} is not a list of {len(options)} values")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise ValueError(f"{key}: {value!r} is not of type {kind.__name__}")


def _build(cls: type, values: Any, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{prefix or 'the recipe'}: expected an object")
    hints = typing.get_type_hints(cls)
    needed = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING
    }
    if wrong := sorted((set(values) - set(hints)) | (needed - set(values))):
        raise ValueError(
            f"{prefix or 'the recipe'}: missing or unknown keys {', '.join(wrong)}"
        )
    built = {}
    for name, kind in hints.items():
        if name not in values:
            continue
        key = f"{prefix}{name}"
        if dataclasses.is_dataclass(kind):
            built[name] = _build(typing.cast(type, kind), values[name], key + ".")
        else:
            built[name] = _check(key, values[name], kind)
    return cls(**built)
