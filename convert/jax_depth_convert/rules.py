"""The engine of every key table: rules that hold in both directions.

A `Rule` maps the tensor whose key matches `pattern` to the leaf at `path` of
jax_depth's parameter tree, up to a permutation of axes. Names inside braces stand for
numbers and link the two sides, so a rule works forwards and backwards:

    Rule("blocks.{n}.attn.proj.weight", "block_{n}/attn/proj/kernel", "linear")

`match` applies a table to a state dict and is strict on both sides; `invert` is the
way back. Neither touches a tensor's values: they return `Leaf`s, which compute them
when asked, so that a large model can be converted one tensor at a time.
"""

import dataclasses
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from jax_depth_convert.pickle_values import shown

# jax_depth's axes from torch's; a permutation can always be inverted. A transposed
# convolution's kernel is not flipped: out[s*i + k] takes kernel[k] in both.
TRANSFORMS: Mapping[str, tuple[int, ...] | None] = {
    "same": None,
    "linear": (1, 0),  # (out, in) -> (in, out)
    "conv": (2, 3, 1, 0),  # (out, in, kh, kw) -> (kh, kw, in, out)
    "conv_transpose": (2, 3, 0, 1),  # (in, out, kh, kw) -> (kh, kw, in, out)
}

# A wholly wrong file has hundreds of problems: the first few say it all, and suggesting
# a near key, a millisecond each, is not worth it.
_MAX_PROBLEMS = 20
_SHOWN = 2
_MAX_KEY = 200  # characters; the longest published key has 80

# How far a file's constant may lie from its formula: other programs compute it in
# float32.
_CONSTANT = 1e-5


@dataclasses.dataclass(frozen=True)
class Rule:
    """One tensor of a published layout.

    Attributes:
        pattern: its key, with {names} for numbers; must match the whole key.
        path: the leaf of jax_depth's parameter tree.
        transform: a name in `TRANSFORMS`.
        part: (i, count): the tensor is the i-th of `count` equal slices of the
            leaf's last axis, as query, key and value are of a fused projection.
        written: False for an alternative key that is accepted when reading but never
            written.
        alias: a second key for the same tensor, from a module registered twice. Either
            key may be present; if both are, they must be equal. Never written.
    """

    pattern: str
    path: str
    transform: str = "same"
    part: tuple[int, int] = (0, 1)
    written: bool = True
    alias: bool = False


@dataclasses.dataclass(frozen=True)
class Constant:
    """A tensor of a published layout whose values follow from the architecture.

    It is not a parameter here: it is checked if a file has it, and recreated when
    writing.

    Attributes:
        pattern: its key, as in `Rule`.
        path: a leaf of the parameter tree that is there whenever the constant is.
        value: that leaf's shape -> the constant, float32.
    """

    pattern: str
    path: str
    value: Callable[[tuple[int, ...]], np.ndarray]


Rules: TypeAlias = Sequence[Rule | Constant]


class Leaf:
    """An array whose values are computed when NumPy asks for them."""

    def __init__(
        self, shape: Sequence[int], dtype: Any, values: Callable[[], np.ndarray]
    ):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self._values()
        if dtype is not None and array.dtype != np.dtype(dtype):
            return array.astype(dtype)
        return array.copy() if copy else array


def layer(key: str, path: str, transform: str) -> tuple[Rule, Rule]:
    """Return the rules of a weight and its bias."""
    return (
        Rule(f"{key}.weight", f"{path}/kernel", transform),
        Rule(f"{key}.bias", f"{path}/bias"),
    )


def norm(key: str, path: str) -> tuple[Rule, Rule]:
    """Return the rules of a LayerNorm."""
    return Rule(f"{key}.weight", f"{path}/scale"), Rule(f"{key}.bias", f"{path}/bias")


def part(key: str, path: str, index: int, count: int, **kwargs) -> tuple[Rule, ...]:
    """Return the rules of a linear layer that is one slice of a fused one."""
    return tuple(
        dataclasses.replace(rule, part=(index, count), **kwargs)
        for rule in layer(key, path, "linear")
    )


AnyRule = TypeVar("AnyRule", bound=Rule | Constant)


def below(rules: Iterable[AnyRule], key: str, path: str) -> tuple[AnyRule, ...]:
    """Return `rules` with a prefix before every key and every path."""
    return tuple(
        dataclasses.replace(rule, pattern=key + rule.pattern, path=path + rule.path)
        for rule in rules
    )


def written(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules of the keys that are written."""
    return tuple(rule for rule in rules if rule.written and not rule.alias)


def match(
    rules: Rules, state: Mapping[str, Any], targets: Mapping[str, Any]
) -> dict[str, Leaf]:
    """Fill every target from a state dict, using each source key exactly once.

    Args:
        rules: the table of the state dict's layout.
        state: key to array; anything with `shape` and `dtype`.
        targets: path to anything with `shape`.

    Returns:
        A leaf for every path in `targets`. Asked for its values, one that has an
        alias raises ValueError if the two differ.

    Raises:
        ValueError: one message listing every unexpected, missing, duplicate or
            misshapen key and every constant that differs; if there are more than twenty
            problems, the first two and the number of the rest.
    """
    rules, constants = _sorted_out(rules)
    problems = _constant_problems(constants, state, targets)
    state = {k: x for k, x in state.items() if not _constant_of(constants, k, targets)}
    unexpected: list[str] = []
    filled: dict[str, dict[tuple[int, int], tuple[Rule, str]]] = {}
    aliases: dict[str, list[tuple[Rule, str]]] = {}
    for key in state:
        hits = [(rule, path) for rule in rules if (path := _path_of(rule, key))]
        if len(hits) > 1:
            problems.append(
                f"{shown(key)} matches {len(hits)} rules, which is a bug in jax_depth: "
                "please report it"
            )
        elif not hits or hits[0][1] not in targets:
            unexpected.append(key)
        else:
            rule, path = hits[0]
            problems += _shape_problems(rule, key, state[key], targets[path])
            if rule.alias:
                aliases.setdefault(path, []).append((rule, key))
                continue
            slots = filled.setdefault(path, {})
            other = next(
                (k for p, (_, k) in slots.items() if p[1] != rule.part[1]), None
            )
            if rule.part in slots or other:
                other = other or slots[rule.part][1]
                problems.append(
                    f"{shown(key)} and {shown(other)} both map to {path}, and only one "
                    "may be present"
                )
            else:
                slots[rule.part] = (rule, key)
    for path, twins in aliases.items():
        if path not in filled:
            filled[path] = {twins[0][0].part: twins.pop(0)}

    missing = [
        key for path in targets for key in _missing(rules, path, filled.get(path, {}))
    ]
    count = len(unexpected) + len(missing) + len(problems)
    if count > _MAX_PROBLEMS:
        names = [f"unexpected {shown(key)}" for key in unexpected[:_SHOWN]]
        names += [f"missing {shown(key)}" for key in missing[:_SHOWN]]
        first = [*names, *problems][:_SHOWN]
        raise ValueError(f"{'; '.join(first)}; and {count - len(first)} more")
    problems = _name_problems(rules, unexpected, missing, state, targets) + problems
    if problems:
        raise ValueError("; ".join(problems))
    return {
        path: _assemble(state, filled[path], targets[path], aliases.get(path, ()))
        for path in targets
    }


def invert(rules: Rules, leaves: Mapping[str, Any]) -> dict[str, Leaf]:
    """Return the state dict of a layout from parameters by path.

    Raises:
        ValueError: a leaf the layout has no key for.
    """
    state = {}
    rules, constants = _sorted_out(rules)
    rules = written(rules)
    for path, leaf in leaves.items():
        keys = _keys_of(rules, path)
        if not keys:
            raise ValueError(f"parameter {path} has no counterpart in this layout")
        for rule, key in keys:
            state[key] = _slice(leaf, rule)
        for constant, key in _keys_of(constants, path):
            state[key] = _constant(constant, leaf)
    return state


def _sorted_out(rules: Rules) -> tuple[list[Rule], list[Constant]]:
    constants = [rule for rule in rules if isinstance(rule, Constant)]
    return [rule for rule in rules if isinstance(rule, Rule)], constants


def _constant_of(constants, key: str, targets) -> tuple[Constant, str] | None:
    """Return the constant that a key is, and the leaf that it stands beside."""
    for constant in constants:
        path = _path_of(constant, key)
        if path and path in targets:
            return constant, path
    return None


def _constant_problems(constants, state, targets) -> list[str]:
    problems = []
    for key in state:
        hit = _constant_of(constants, key, targets)
        if hit is None:
            continue
        constant, path = hit
        wanted = constant.value(tuple(targets[path].shape))
        found = np.asarray(state[key])
        if found.shape != wanted.shape:
            problems.append(
                f"{key!r} has shape {found.shape}, but the model needs {wanted.shape}"
            )
            continue
        # Files in half precision hold it rounded.
        rounding = 1e-2 if np.dtype(found.dtype).itemsize < 4 else _CONSTANT
        apart = np.abs(found.astype(np.float64) - wanted).max()
        if not apart <= rounding * max(1.0, np.abs(wanted).max()):
            problems.append(
                f"{key!r} should be a constant of this architecture, but differs from "
                f"it by up to {apart:.2g}"
            )
    return problems


def _constant(constant: Constant, leaf: Any) -> Leaf:
    value = constant.value(tuple(leaf.shape))
    return Leaf(value.shape, leaf.dtype, lambda: value.astype(leaf.dtype))


def _missing(rules: Sequence[Rule], path: str, slots: Mapping) -> list[str]:
    """Return the keys that a leaf still lacks, in the spelling of those it has."""
    if not slots:
        return [key for _, key in _keys_of(written(rules), path)]
    first = next(iter(slots.values()))[0]
    siblings = [
        rule
        for rule in rules
        if (rule.part[1], rule.written) == (first.part[1], first.written)
        and rule.part not in slots
    ]
    return [key for _, key in _keys_of(siblings, path)]


def _path_of(rule: Rule | Constant, key: str) -> str | None:
    hit = _regex(rule.pattern).fullmatch(key)
    return hit and rule.path.format(**hit.groupdict())


def _keys_of(rules: Iterable[AnyRule], path: str) -> list[tuple[AnyRule, str]]:
    """Return the rules of a leaf, each with its key."""
    return [
        (rule, rule.pattern.format(**hit.groupdict()))
        for rule in rules
        if (hit := _regex(rule.path).fullmatch(path))
    ]


@functools.cache
def _regex(template: str) -> re.Pattern:
    pieces = re.split(r"\{(\w+)\}", template)
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = (f"(?P<{name}>0|[1-9][0-9]*)" for name in pieces[1::2])
    return re.compile("".join(pieces))


def _published_shape(rule: Rule, target: Any) -> tuple[int, ...]:
    """Return the shape of a rule's tensor in its own layout."""
    *rest, last = target.shape
    ours = (*rest, last // rule.part[1])
    axes = TRANSFORMS[rule.transform]
    return ours if axes is None else tuple(ours[i] for i in np.argsort(axes))


def _shape_problems(rule: Rule, key: str, tensor: Any, target: Any) -> list[str]:
    found, needed = tuple(tensor.shape), _published_shape(rule, target)
    if found != needed:
        return [f"{key!r} has shape {found}, but the model needs {needed}"]
    dtype = np.dtype(tensor.dtype)
    if dtype.kind != "f" and not dtype.name.startswith(("bfloat16", "float8")):
        return [
            f"{key!r} has dtype {dtype}, but weights must be real floating-point "
            "numbers"
        ]
    return []


def _name_problems(rules, unexpected, missing, state, targets) -> list[str]:
    """Describe keys without a place and places without a key, with the nearest name."""
    rules = written(rules)
    expected = [key for path in targets for _, key in _keys_of(rules, path)]
    problems = []
    for kind, keys, others in (
        ("unexpected", unexpected, missing or expected),
        ("missing", missing, unexpected or list(state)),
    ):
        for key in keys:
            label = "expected" if kind == "unexpected" else "found"
            problems.append(
                f"{kind} {shown(key)}"
                + "".join(f" (nearest {label}: {n!r})" for n in _nearest(key, others))
            )
    return problems


def _nearest(key: str, others: Sequence[str]) -> list[str]:
    if len(key) > _MAX_KEY:  # comparing takes the product of both lengths
        return []
    others = [other for other in others if len(other) <= _MAX_KEY]
    return difflib.get_close_matches(key, others, n=1, cutoff=0.3)


def _assemble(state, slots, target, aliases) -> Leaf:
    parts = [slots[p] for p in sorted(slots)]
    dtypes = {np.dtype(state[key].dtype) for _, key in parts}
    # Slices of one layer stored in two precisions meet in the one that holds both.
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float32)

    def piece(rule: Rule, key: str) -> np.ndarray:
        axes = TRANSFORMS[rule.transform]
        array = np.asarray(state[key])
        return array if axes is None else array.transpose(axes)

    def values() -> np.ndarray:
        pieces = [piece(rule, key) for rule, key in parts]
        for rule, key in aliases:
            if not np.array_equal(piece(rule, key), pieces[0], equal_nan=True):
                raise ValueError(
                    f"{key!r} and {parts[0][1]!r} are two names of one tensor, but "
                    "their values differ; remove the outdated one"
                )
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([p.astype(dtype, copy=False) for p in pieces], axis=-1)

    return Leaf(target.shape, dtype, values)


def _slice(leaf: Any, rule: Rule) -> Leaf:
    index, count = rule.part
    width = leaf.shape[-1] // count

    def values() -> np.ndarray:
        array = np.asarray(leaf)
        if count > 1:
            array = array[..., index * width : (index + 1) * width]
        axes = TRANSFORMS[rule.transform]
        return array if axes is None else array.transpose(np.argsort(axes))

    return Leaf(_published_shape(rule, leaf), leaf.dtype, values)
