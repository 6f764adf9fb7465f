"""From any published file or directory to any other, and which model it is."""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jax_depth import checkpoint
from jax_depth._typing import Params
from jax_depth.catalog import ALIASES, MODELS
from jax_depth.catalog_depth_anything_3 import DEPTH_ANYTHING_3_NAMES
from jax_depth.checkpoint import StorageDtype, flatten, unflatten
from jax_depth.config import ModelConfig, with_encoder
from jax_depth.formats.atomic import atomic
from jax_depth.formats.json_file import parse_json, require_regular
from jax_depth.formats.safetensors import write_safetensors
from jax_depth_convert.pth_writer import write_pth
from jax_depth_convert.readers import HUB_NAMES, read
from jax_depth_convert.state_dicts import (
    Recognised,
    invert_params,
    match_state,
    recognise,
    unused,
)
from jax_depth_convert.transformers_folder import (
    config_from_transformers,
    write_transformers_folder,
)

Target = Literal["native", "original", "transformers"]


def load(
    source: str | os.PathLike,
    model: str | ModelConfig | None = None,
    *,
    allow_nonfinite: bool = False,
    nest: str | None = None,
) -> tuple[dict[str, Any], ModelConfig]:
    """Return the parameters and the model of any weights on disk.

    Args:
        source: a weight file or a directory in a published layout (see `read`), or a
            native model directory. A `config.json` of transformers beside the
            weights says which model they are.
        model: a name in the catalogue or a config. Needed for a bare file whose
            size several models share.
        allow_nonfinite: take weights that are NaN or infinite.
        nest: the entry of a training script's checkpoint to take, see `read`.

    Returns:
        A nested dict of NumPy arrays in the stored dtype, views of the mapped file
        where possible, and the model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown name, a broken file, weights that do not fit the
            model, or a file that does not say which model it holds, without `model`.
    """
    leaves, config, _ = _load_leaves(Path(source), model, allow_nonfinite, nest)
    arrays = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    return unflatten(arrays), config


def _load_leaves(
    path: Path, model: Any, allow_nonfinite: bool, nest: str | None
) -> tuple[dict[str, Any], ModelConfig, dict]:
    """Return `load`'s leaves by path, those of published layouts not yet computed.

    Then the model, and the tensors that no network here reads.
    """
    named = _config_of(model) if model is not None else None
    if checkpoint.is_native(path):
        params, config = checkpoint.load(path)
        if named is not None and named != config:
            raise ValueError(
                f"{path}: holds model {config.name!r}, not {named.name!r}; leave the "
                "model out"
            )
        leaves = flatten(params)
        if not allow_nonfinite:
            try:
                checkpoint.refuse_nonfinite(leaves)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
        return leaves, config, checkpoint.load_unused(path)
    state = read(path, nest=nest)
    found = _described(path)
    try:
        size = recognise(state)
        config = _decide(named, found, size)
        return match_state(state, config, allow_nonfinite), config, unused(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def convert(
    source: str | os.PathLike,
    model: str | ModelConfig | None,
    destination: str | os.PathLike,
    to: Target = "native",
    dtype: StorageDtype | None = None,
    *,
    allow_nonfinite: bool = False,
    nest: str | None = None,
) -> ModelConfig:
    """Convert weights on disk, one tensor at a time, and return their model.

    Args:
        source, model: as in `load`.
        destination: a directory for "native" and "transformers"; a `.safetensors`,
            `.pth`, `.pt` or `.bin` file for "original".
        to: the layout to write.
        dtype: how weights are stored; None keeps each tensor's own.
        allow_nonfinite, nest: as in `load`.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: as `load` and the writers do.
    """
    leaves, config, rest = _load_leaves(Path(source), model, allow_nonfinite, nest)
    write(unflatten(leaves), config, destination, to, dtype, rest)
    return config


def write(
    params: Params,
    config: ModelConfig,
    destination: str | os.PathLike,
    to: Target = "native",
    dtype: StorageDtype | None = None,
    unused: Mapping[str, Any] | None = None,
) -> None:
    """Write parameters in a layout; the second half of `convert`.

    Args:
        params: nested dict of arrays.
        config: their model.
        destination, to, dtype: as in `convert`.
        unused: tensors that no network here reads, see `jax_depth_convert.unused`.

    Raises:
        FileExistsError, ValueError: as the writers do.
    """
    destination = Path(destination)
    if to not in ("native", "original", "transformers"):
        raise ValueError(
            f"layout {to!r} is unknown; use native, original or transformers"
        )
    if to == "native":
        checkpoint.save(destination, params, config, dtype, unused)
    elif to == "transformers":
        write_transformers_folder(params, config, destination, dtype)
    else:
        _write_original(params, config, destination, dtype, unused)


def _config_of(model: str | ModelConfig) -> ModelConfig:
    if isinstance(model, ModelConfig):
        return model
    entry = MODELS.get(ALIASES.get(model, model))
    if entry is None:
        near = difflib.get_close_matches(model, [*MODELS, *ALIASES], n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "see `jax-depth models`"
        )
        raise ValueError(f"no model is called {model!r}; {hint}")
    return entry.config


def _described(path: Path) -> ModelConfig | None:
    """Return the model a transformers `config.json` beside the weights describes."""
    file = (path if path.is_dir() else path.parent) / "config.json"
    in_folder = path.is_dir() or path.name in HUB_NAMES
    if not in_folder or not file.exists():
        return None
    require_regular(file)
    # The V1 hub repositories have a config.json too, with a size and no more.
    text = file.read_text(encoding="utf-8", errors="replace")
    if name := _hub_name(text):
        return MODELS[name].config
    if '"model_type"' not in text:
        return None
    config = config_from_transformers(file)
    same = [e.config for e in MODELS.values() if _same_network(e.config, config)]
    # Distill-Any-Depth is V2's network again: then only the folder's name is known.
    return same[0] if len(same) == 1 else config


def _hub_name(text: str) -> str | None:
    """Return the model that a config.json of Depth Anything 3's hub class names."""
    try:
        name = parse_json(text)["model_name"]
    except (ValueError, TypeError, KeyError):
        return None
    return DEPTH_ANYTHING_3_NAMES.get(name) if isinstance(name, str) else None


def _same_network(one: ModelConfig, other: ModelConfig) -> bool:
    return dataclasses.replace(one, name="") == dataclasses.replace(other, name="")


def _decide(
    named: ModelConfig | None, found: ModelConfig | None, size: Recognised
) -> ModelConfig:
    """Return the model: as named, as described beside the file, or the only one."""
    fitting = [e.config for e in MODELS.values() if size.fits(e.config)]
    names = ", ".join(config.name for config in fitting)
    if named is not None:
        what = ""
        if found is not None and not _agrees(named, found):
            what = f"{found.name!r} by its config.json"
        elif not size.fits(named):
            what = str(size)
        if what:
            hint = f"; models of its size: {names}" if names else ""
            raise ValueError(f"is {what}, not model {named.name!r}{hint}")
        return named
    if found is not None:
        return found
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ValueError(f"is {size}, a size no known model has; give its ModelConfig")
    raise ValueError(
        f"is {size}, and files of several models of one size cannot be told apart; "
        f"name the model: one of {names}"
    )


def _agrees(named: ModelConfig, found: ModelConfig) -> bool:
    """Whether a model is the described one; the offset is in no description."""
    ways = {"position_offset": 0.0, "scan": False, "remat": False, "attention": "auto"}
    named, found = (with_encoder(config, **ways) for config in (named, found))
    parts = (named.encoder, named.head, named.kind, named.max_depth)
    return parts == (found.encoder, found.head, found.kind, found.max_depth)


def _write_original(params, config, destination: Path, dtype, unused) -> None:
    writers = {".safetensors": write_safetensors}
    writers |= dict.fromkeys((".pth", ".pt", ".bin"), write_pth)
    write = writers.get(destination.suffix)
    if write is None or destination.is_dir():
        raise ValueError(
            f"{destination}: the original layout is one file; end its name in "
            ".safetensors or .pth"
        )
    state = invert_params(params, config, "original") | dict(unused or {})
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with atomic(destination) as temporary:
            write(temporary, state, dtype)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{destination}: cannot be written ({reason}); choose another place"
        ) from None
