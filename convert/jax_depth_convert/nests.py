"""Find the weights inside a training checkpoint."""

import sys
from pathlib import Path
from typing import Any

from jax_depth.formats.printable import printable
from jax_depth_convert.pickle_values import (
    NumpyArray,
    Opaque,
    Record,
    Tensor,
    a_kind_of,
    shown,
)
from jax_depth_convert.prefixes import prefix_of

# What scripts call the weights; of several the first is taken, and named.
NESTS = (
    *("state_dict", "model", "model_state_dict", "model_state", "net", "network"),
    *("net_state_dict", "module", "weights", "params", "generator"),
    *("model_ema", "ema", "ema_model", "state_dict_ema", "ema_state_dict"),
    *("params_ema", "model_ema_state_dict", "teacher", "student", "checkpoint"),
)
_MAX_NESTING = 4


def find_weights(
    path: Path, content: Any, nest: str | None = None
) -> dict[str, Tensor | NumpyArray]:
    """Return the state dict inside a training checkpoint.

    A dict whose keys belong to a known layout is used wherever it occurs, and entries
    of it that are not tensors are ignored. If no dict has known keys, the first entry
    named in `NESTS` is used, otherwise the top level.

    Args:
        path: the file, for messages.
        content: what it contains.
        nest: key of the weights. None prefers raw weights (`state_dict`, `model`, ...)
            to averaged ones (`model_ema`, `ema`, ...), and if there are several says
            on stderr which were used.

    Raises:
        ValueError: no tensors, no weights under `nest`, or something that is not a
            tensor among tensors with unknown keys.
    """
    trail: list[str] = []
    search = _Search()
    for _ in range(_MAX_NESTING + 1):
        if isinstance(content, Tensor | NumpyArray):
            raise ValueError(
                f"{path}: contains a single tensor; save a state dict: "
                "torch.save(model.state_dict(), path)"
            )
        if not isinstance(content, Record):
            raise ValueError(
                f"{path}: contains {a_kind_of(content)}, not a state dict; save "
                "model.state_dict()"
            )
        if nest is None and search.is_known(content):
            return _tensors(path, content, known=True)
        names = search.nests(content)
        if nest is not None:
            if nest not in names:
                held = ", ".join(map(repr, names)) or "none"
                raise ValueError(
                    f"{path}: contains no weights under {shown(nest)}; keys that "
                    f"contain weights: {held}"
                )
            name, nest = nest, None
        elif names:
            name = names[0]
            if names[1:]:
                others = ", ".join(map(shown, names[1:4]))
                taken = f"weights taken from {shown(name)}, not from {others}"
                choose = "choose with --nest (`nest=` in Python)"
                print(printable(f"{path}: {taken}; {choose}"), file=sys.stderr)
        else:
            break
        trail.append(name)
        content = content.entries[name]
    else:
        raise ValueError(
            f"{path}: the weights are nested too deeply; save model.state_dict() alone"
        )
    if not _holds_tensors(content):
        keys = ", ".join(shown(key, 40) for key in list(content.entries)[:5])
        keys = keys or (content.foreign[0] if content.foreign else "nothing")
        raise ValueError(
            f"{path}: contains no tensors (top level: {keys}); save model.state_dict()"
        )
    return _tensors(path, content, known=False)


def _tensors(path: Path, record: Record, known: bool) -> dict[str, Any]:
    """Return the entries of the dict that was taken.

    Among keys of a known layout a number (`epoch`) is certainly not a weight; among
    unknown keys it might be.
    """
    others = [
        (shown(key), value)
        for key, value in record.entries.items()
        if not isinstance(value, Tensor | NumpyArray)
        and (not known or _is_tensor(value))
    ]
    if record.foreign is not None:
        key, value = record.foreign
        if not known or _is_tensor(value):
            others.append((key, value))
    if others:
        key, value = others[0]
        raise ValueError(
            f"{path}: contains tensors and, under {key}, {a_kind_of(value)}; save "
            "model.state_dict() alone"
        )
    return {
        key: value
        for key, value in record.entries.items()
        if isinstance(value, Tensor | NumpyArray)
    }


def _holds_tensors(value: Any) -> bool:
    if not isinstance(value, Record):
        return False
    values = [*value.entries.values()]
    if value.foreign is not None:
        values.append(value.foreign[1])
    return any(map(_is_tensor, values))


def _is_tensor(value: Any) -> bool:
    """Whether a value is an array, including kinds that cannot be read."""
    unread = isinstance(value, Opaque) and "tensor" in value.kind
    return unread or isinstance(value, Tensor | NumpyArray)


class _Search:
    """Searches a nested dict for weights, visiting each dict only once."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}
        self._leads: dict[tuple[int, int, bool], bool] = {}

    def is_known(self, record: Record) -> bool:
        """Whether a dict's tensors have the keys of a known layout."""
        if id(record) not in self._known:
            keys = [k for k, v in record.entries.items() if isinstance(v, Tensor)]
            keys = keys or [
                k for k, v in record.entries.items() if isinstance(v, NumpyArray)
            ]
            self._known[id(record)] = prefix_of(keys) is not None
        return self._known[id(record)]

    def nests(self, record: Record) -> list[str]:
        """Return the entries that contain weights, in the order of `NESTS`."""
        names = [*record.entries]
        usual = [name for name in NESTS if name in record.entries]
        unusual = [name for name in names if name not in NESTS and "optim" not in name]
        for known, some in ((True, usual), (True, unusual), (False, usual)):
            found = [
                name
                for name in some
                if self._lead(record.entries[name], _MAX_NESTING, known)
            ]
            if found:
                return found
        return []

    def _lead(self, value: Any, depth: int, known: bool) -> bool:
        """Whether there are weights in a value, of a known layout or of any."""
        if not isinstance(value, Record) or depth == 0:
            return False
        place = (id(value), depth, known)
        if place not in self._leads:
            self._leads[place] = False  # a dict may contain itself
            if known:
                below = [v for k, v in value.entries.items() if "optim" not in k]
                here = self.is_known(value)
            else:
                below = [value.entries.get(name) for name in NESTS]
                here = _holds_tensors(value)
            self._leads[place] = here or any(
                self._lead(v, depth - 1, known) for v in below
            )
        return self._leads[place]
