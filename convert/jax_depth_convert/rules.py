"""The engine of every key table: rules that hold in both directions.

A `Rule` says that the tensor called `pattern` in a published file is the leaf at
`path` of our tree, up to an exchange of axes. Names inside braces stand for numbers
and connect the two sides, so a rule reads forwards and backwards:

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
from typing import Any

import numpy as np

# Ours from theirs, as a permutation of axes; every one is its own proof of
# invertibility. A transposed convolution's kernel is not flipped: out[s*i + k] takes
# kernel[k] in torch and here alike.
TRANSFORMS: Mapping[str, tuple[int, ...] | None] = {
    "same": None,
    "linear": (1, 0),  # (out, in) -> (in, out)
    "conv": (2, 3, 1, 0),  # (out, in, kh, kw) -> (kh, kw, in, out)
    "conv_transpose": (2, 3, 0, 1),  # (in, out, kh, kw) -> (kh, kw, in, out)
}

# Suggesting a near key takes a millisecond; a wholly wrong file has hundreds.
_MAX_SUGGESTIONS = 20


@dataclasses.dataclass(frozen=True)
class Rule:
    """One tensor of a published layout.

    Attributes:
        pattern: its key, with {names} for numbers; must match the whole key.
        path: the leaf of our tree.
        transform: a name in `TRANSFORMS`.
        part: (i, count): the tensor is the i-th of `count` equal slices of the
            leaf's last axis, as query, key and value are of a fused projection.
        written: False for a spelling that is read but never written.
    """

    pattern: str
    path: str
    transform: str = "same"
    part: tuple[int, int] = (0, 1)
    written: bool = True


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


def below(rules: Iterable[Rule], key: str, path: str) -> tuple[Rule, ...]:
    """Return `rules` with a prefix before every key and every path."""
    return tuple(
        dataclasses.replace(rule, pattern=key + rule.pattern, path=path + rule.path)
        for rule in rules
    )


def written(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules of the spelling that published files have."""
    return tuple(rule for rule in rules if rule.written)


def match(
    rules: Sequence[Rule], state: Mapping[str, Any], targets: Mapping[str, Any]
) -> dict[str, Leaf]:
    """Fill every target from a state dict, each source key used exactly once.

    Args:
        rules: the table of the state dict's layout.
        state: key to array; anything with `shape` and `dtype`.
        targets: path to anything with `shape`.

    Returns:
        A leaf for every path in `targets`.

    Raises:
        ValueError: one message with every unexpected, missing, doubled or
            wrongly shaped key.
    """
    unexpected: list[str] = []
    problems: list[str] = []
    filled: dict[str, dict[tuple[int, int], tuple[Rule, str]]] = {}
    for key in state:
        hits = [(rule, path) for rule in rules if (path := _path_of(rule, key))]
        if len(hits) > 1:
            problems.append(f"{key!r} matches {len(hits)} rules: a fault of the table")
        elif not hits or hits[0][1] not in targets:
            unexpected.append(key)
        else:
            rule, path = hits[0]
            slots = filled.setdefault(path, {})
            other = next(
                (k for p, (_, k) in slots.items() if p[1] != rule.part[1]), None
            )
            if rule.part in slots or other:
                other = other or slots[rule.part][1]
                problems.append(f"{key!r} and {other!r} are both {path}")
            else:
                slots[rule.part] = (rule, key)
                problems += _shape_problems(rule, key, state[key], targets[path])

    missing = [
        key for path in targets for key in _missing(rules, path, filled.get(path, {}))
    ]
    problems = _name_problems(rules, unexpected, missing, state, targets) + problems
    if problems:
        raise ValueError("; ".join(problems))
    return {path: _assemble(state, filled[path], targets[path]) for path in targets}


def invert(rules: Sequence[Rule], leaves: Mapping[str, Any]) -> dict[str, Leaf]:
    """Return the state dict of a layout from our leaves, by path.

    Raises:
        ValueError: a leaf the layout has no key for.
    """
    state = {}
    rules = written(rules)
    for path, leaf in leaves.items():
        keys = _keys_of(rules, path)
        if not keys:
            raise ValueError(f"{path}: the layout has no key for it")
        for rule, key in keys:
            state[key] = _slice(leaf, rule)
    return state


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


def _path_of(rule: Rule, key: str) -> str | None:
    hit = _regex(rule.pattern).fullmatch(key)
    return hit and rule.path.format(**hit.groupdict())


def _keys_of(rules: Iterable[Rule], path: str) -> list[tuple[Rule, str]]:
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
        return [f"{key!r} has shape {found}, the model needs {needed}"]
    if np.dtype(tensor.dtype).kind in "iub":
        return [f"{key!r} holds {tensor.dtype}, weights are floating"]
    return []


def _name_problems(rules, unexpected, missing, state, targets) -> list[str]:
    """Describe keys without a place and places without a key, nearest name beside."""
    rules = written(rules)
    expected = [key for path in targets for _, key in _keys_of(rules, path)]
    problems = []
    budget = _MAX_SUGGESTIONS
    for kind, keys, others in (
        ("unexpected", unexpected, missing or expected),
        ("missing", missing, unexpected or list(state)),
    ):
        for key in keys:
            near = _nearest(key, others) if budget > 0 else []
            budget -= 1
            label = "expected" if kind == "unexpected" else "found"
            problems.append(
                f"{kind} {key!r}" + "".join(f" (nearest {label}: {n!r})" for n in near)
            )
    return problems


def _nearest(key: str, others: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(key, others, n=1, cutoff=0.3)


def _assemble(state, slots, target) -> Leaf:
    parts = [slots[p] for p in sorted(slots)]
    dtypes = {np.dtype(state[key].dtype) for _, key in parts}
    # Slices of one layer stored in two precisions meet in the one that holds both.
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float32)

    def values() -> np.ndarray:
        pieces = []
        for rule, key in parts:
            axes = TRANSFORMS[rule.transform]
            array = np.asarray(state[key])
            pieces.append(array if axes is None else array.transpose(axes))
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
