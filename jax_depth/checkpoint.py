"""Native model directory: `config.json` and `model.safetensors`.

Tensors are named by their path in the parameter tree, "encoder/block_0/norm1/scale".
Reading and writing are strict in both directions: the file and the config must
agree on every name and every shape.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from jax_depth._typing import Params
from jax_depth.catalog import MODELS
from jax_depth.config import ModelConfig, Restore, from_json, to_json
from jax_depth.formats.atomic import new_directory as new_directory
from jax_depth.formats.json_file import read_json, require_regular
from jax_depth.formats.safetensors import (
    read_metadata,
    read_safetensors,
    write_safetensors,
)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
# Tensors of a published file that no network reads, for the way back.
UNUSED = "unused.safetensors"

# Differences of weights and model that are named before the others are counted.
_SHOWN = 5
# In the header of the weights: whose they are.
_FORMAT = "jax_depth"
# Part of the seal: raised whenever a network wants other parameters for a config it
# knew before, so that older files are checked again.
_LAYOUT = 1

# What a `config.json` of version 0.1 leaves out is what its model does today.
_RESTORE: Mapping[str, Restore] = MappingProxyType(
    {name: entry.config.restore for name, entry in MODELS.items()}
)

StorageDtype = Literal["float32", "float16", "bfloat16"]
_STORAGE = ("float32", "float16", "bfloat16")


def save(
    directory: str | os.PathLike,
    params: Params,
    config: ModelConfig,
    dtype: StorageDtype | None = "float32",
    unused: Mapping[str, Any] | None = None,
) -> None:
    """Write a native model directory; it appears whole or not at all.

    Args:
        directory: a new or empty directory, or an older native one to replace.
        params: nested dict of arrays, as from `jax_depth.init`. Leaves may also be
            anything with `shape`, `dtype` and `__array__`; one at a time is asked
            for its values.
        config: the model of `params`.
        dtype: how weights are stored; None keeps each leaf's own.
        unused: tensors of the published file that no network reads, by key.

    Raises:
        ValueError: parameters that do not fit `config` (one message for all), a
            leaf of another dtype, or a value too large for `dtype`.
        FileExistsError: `directory` is a file or holds something else.
    """
    if dtype is not None and dtype not in _STORAGE:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(_STORAGE)}")
    leaves = flatten(params)
    check(leaves, config, directory)
    for name, leaf in leaves.items():
        if dtype is None and np.dtype(leaf.dtype).name not in _STORAGE:
            raise ValueError(
                f"{name}: dtype {leaf.dtype} is not one of {', '.join(_STORAGE)}; "
                "give the dtype to store"
            )
    with new_directory(directory, replaces=(CONFIG, WEIGHTS, UNUSED)) as temporary:
        text = to_json(config)
        metadata = {"format": _FORMAT, "checked": _seal(leaves, text)}
        write_safetensors(temporary / WEIGHTS, leaves, dtype, metadata)
        if unused:
            write_safetensors(temporary / UNUSED, unused, dtype)
        (temporary / CONFIG).write_text(text, encoding="utf-8")


def load(directory: str | os.PathLike) -> tuple[dict[str, Any], ModelConfig]:
    """Return the parameters and the config of a native model directory.

    Args:
        directory: as written by `save`.

    Returns:
        A plain nested dict of NumPy arrays of the stored dtype, read-only views of
        the mapped file, and the config.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a broken file, or weights that do not fit the config (one
            message for all).
    """
    directory = Path(directory)
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).exists():
            raise FileNotFoundError(
                f"{directory / name}: missing; a native model directory holds "
                f"{CONFIG} and {WEIGHTS}"
            )
    require_regular(directory / CONFIG)
    try:
        text = (directory / CONFIG).read_text(encoding="utf-8")
        config = from_json(text, _RESTORE)
    except UnicodeDecodeError:
        raise ValueError(
            f"{directory / CONFIG}: is not a text in UTF-8; save it as one"
        ) from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{directory / CONFIG}: {error}") from None
    leaves = read_safetensors(directory / WEIGHTS)
    for name, leaf in leaves.items():
        if leaf.dtype.name not in (*_STORAGE, "float64"):
            raise ValueError(
                f"{directory / WEIGHTS}: {name!r:.100} holds {leaf.dtype}, weights are "
                f"one of {', '.join(_STORAGE)}; convert the model again"
            )
    # Before a network is traced: each block has parameters of its own.
    if config.encoder.depth > len(leaves):
        raise ValueError(
            f"{directory / CONFIG}: encoder.depth is {config.encoder.depth}, and "
            f"{WEIGHTS} has {len(leaves)} tensors in all; take both from one model"
        )
    # What `save` checked needs no second check, which would trace the whole network.
    if read_metadata(directory / WEIGHTS).get("checked") != _seal(leaves, text):
        check(leaves, config, directory / WEIGHTS)
    return unflatten(leaves), config


def load_unused(directory: str | os.PathLike) -> dict[str, Any]:
    """Return what `save` was given as `unused`."""
    file = Path(directory) / UNUSED
    return dict(read_safetensors(file)) if file.is_file() else {}


def is_native(directory: str | os.PathLike) -> bool:
    """Whether a directory is ours rather than another library's.

    By its `config.json`, or by the weights where that is missing or damaged, which
    `load` then reports.
    """
    directory = Path(directory)
    try:
        document = read_json(directory / CONFIG)
        if isinstance(document, dict) and isinstance(document.get("encoder"), dict):
            return True
    except (OSError, ValueError):
        pass
    try:
        return read_metadata(directory / WEIGHTS).get("format") == _FORMAT
    except (OSError, ValueError):
        return False


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"encoder/norm/scale": leaf, ...} of a nested dict."""
    leaves: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            leaves |= {f"{name}/{path}": x for path, x in flatten(value).items()}
        else:
            leaves[name] = value
    return leaves


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested dict of `flatten`."""
    params: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return params


@functools.cache
def leaf_shapes(config: ModelConfig) -> Mapping[str, Any]:
    """Return path -> `jax.ShapeDtypeStruct` of every parameter of a model."""
    # Late: it brings Flax, which a process with ready programs does without.
    from jax_depth.models.depth_anything import param_shapes

    # Tracing a large model takes a second, and a conversion does it twice.
    return MappingProxyType(flatten(param_shapes(config)))


def check(leaves: Mapping[str, Any], config: ModelConfig, where: Any) -> None:
    """Compare leaves by path with what `config` needs.

    Raises:
        ValueError: naming missing and unexpected paths and wrong shapes, the first
            few, and the number of the others.
    """
    expected = leaf_shapes(config)
    problems = [f"missing {path}" for path in expected if path not in leaves]
    problems += [f"unexpected {path}" for path in leaves if path not in expected]
    problems += [
        f"{path} has shape {tuple(leaves[path].shape)}, not {expected[path].shape}"
        for path in expected
        if path in leaves and tuple(leaves[path].shape) != expected[path].shape
    ]
    if problems:
        rest = len(problems) - _SHOWN
        raise ValueError(
            f"{where}: the weights do not fit model {config.name!r}: "
            + "; ".join(problems[:_SHOWN])
            + (f"; and {rest} more" if rest > 0 else "")
        )


def refuse_nonfinite(tensors: Mapping[str, Any]) -> None:
    """Refuse weights that are NaN or infinite: they cannot give a depth.

    Args:
        tensors: name to array, or to anything with `__array__`; one is asked for its
            values at a time.

    Raises:
        ValueError: naming the first few, and how many values of the first.
    """
    bad = {}
    for name, tensor in tensors.items():
        values = np.asarray(tensor)
        finite = np.isfinite(values)
        if not finite.all():
            bad[name] = int(finite.size - np.count_nonzero(finite))
    if bad:
        (first, count), *others = bad.items()
        more = f", and so have {len(others)} more tensors" if others else ""
        raise ValueError(
            f"the weights are damaged: {first!r} has {count} values that are NaN or "
            f"infinite{more}; take an earlier checkpoint"
        )


def _seal(leaves: Mapping[str, Any], config: str) -> str:
    """Return a hash of a config's JSON and the names and shapes checked with it."""
    shapes = sorted((name, list(leaf.shape)) for name, leaf in leaves.items())
    text = json.dumps([_LAYOUT, config, shapes])
    return hashlib.sha256(text.encode()).hexdigest()
