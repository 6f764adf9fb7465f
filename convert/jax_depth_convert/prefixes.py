"""Strip the prefixes that wrappers (DataParallel, Lightning) add to a file's keys."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from jax_depth_convert.layouts import LAYOUTS

# Added by DistributedDataParallel, torch.compile, FSDP and activation checkpointing:
# PyTorch's own, so they stand for nothing else. All but the first may stand anywhere.
_DATA_PARALLEL = "module."
_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")

# What trainers call the network; taken off only where a known layout follows. Where
# both halves of Depth Anything follow, it may be any name.
_OWNERS = frozenset(
    "module model net network model_ema ema ema_model teacher student generator "
    "depth_model depth_anything da".split()
)
_MAX_PREFIXES = 4


def is_published(keys: Iterable[str]) -> bool:
    """Whether any key is one of a layout known here, as it stands."""
    known = tuple(
        prefix + mark
        for row in LAYOUTS
        if not row.extends
        for mark in row.marks
        for prefix in {"", row.prefix}
    )
    return any(key.startswith(known) for key in keys)


def prefix_of(keys: Collection[str]) -> str | None:
    """Return the prefix in front of keys of a known layout, "" if there is none.

    Lightning's `model.`, a trainer's `net.` or `student.`: a name that every key
    begins with, if the rest is a known layout. If the published keys themselves share
    a prefix, as Depth Anything 3's `model.`, they are recognised with it and keep it.

    Returns:
        The prefix with its last dot, or None if no layout follows.
    """
    prefix = ""
    for _ in range(_MAX_PREFIXES):
        rest = [key[len(prefix) :] for key in keys]
        if is_published(rest):
            return prefix
        first = next(iter(rest), "").partition(".")[0]
        halves = (f"{first}.pretrained.", f"{first}.depth_head.")
        anybody = all(any(key.startswith(half) for key in rest) for half in halves)
        if not (first in _OWNERS or anybody) or not all(
            key.startswith(f"{first}.") for key in rest
        ):
            break
        prefix += f"{first}."
    return None


def strip_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return `state` without what wrappers put into its keys."""
    state = _rename(state, _without_wrappers)
    if prefix := prefix_of(state):
        return dict(_rename(state, lambda key: key.removeprefix(prefix)))
    while state and all(key.startswith(_DATA_PARALLEL) for key in state):
        state = _rename(state, lambda key: key.removeprefix(_DATA_PARALLEL))
    return dict(state)


def as_in_tables(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return `state` with keys as the key tables have them.

    Without wrapper prefixes, and without the `model.` of Depth Anything 3's published
    files, which `strip_wrappers` leaves.
    """
    state = strip_wrappers(state)
    for row in LAYOUTS:
        prefix = row.prefix
        if prefix and state and all(key.startswith(prefix) for key in state):
            if any(row.marked(key.removeprefix(prefix)) for key in state):
                return {key.removeprefix(prefix): x for key, x in state.items()}
    return state


def _without_wrappers(key: str) -> str:
    for wrapper in _WRAPPERS:
        key = key.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return key


def _rename(state: Mapping[str, Any], rename) -> Mapping[str, Any]:
    """Return `state` under other keys, or as it is if two would become one."""
    renamed = {rename(key): value for key, value in state.items()}
    return renamed if len(renamed) == len(state) else state
