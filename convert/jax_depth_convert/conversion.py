"""Convert any published file or directory to any other, and find out what it holds."""

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

# Messages name the option and the argument.
_NAME = "--model (`model=` in Python)"
_OMIT = f"leave out {_NAME}"


def load(
    source: str | os.PathLike,
    model: str | ModelConfig | None = None,
    *,
    allow_nonfinite: bool = False,
    nest: str | None = None,
) -> tuple[dict[str, Any], ModelConfig]:
    """Load weights from disk: return the parameters and the `ModelConfig`.

    Args:
        source: a weight file or a directory in a published layout (see `read`), or a
            native model directory. A transformers `config.json` beside the weights
            determines the model.
        model: a catalogue name or a `ModelConfig`. Needed for a file without a
            `config.json` if several models have its keys and shapes. For fine-tuned
            weights the model they started from, or its config with your own
            `max_depth`.
        allow_nonfinite: accept weights that are NaN or infinite.
        nest: key in a training checkpoint under which the weights are, such as
            "model_ema"; see `read`.

    Returns:
        A nested dict of NumPy arrays in the stored dtype, views of the mapped file
        where possible, and the config.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown name, a damaged file, weights that do not fit the
            model, or no `model` where the file does not determine it.
    """
    leaves, config, _ = _load_leaves(Path(source), model, allow_nonfinite, nest)
    arrays = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    return unflatten(arrays), config


def _load_leaves(
    path: Path, model: Any, allow_nonfinite: bool, nest: str | None
) -> tuple[dict[str, Any], ModelConfig, dict]:
    """Return `load`'s leaves by path, those of published layouts not yet computed.

    Then the config, and the tensors that jax_depth does not use.
    """
    named = config_of(model) if model is not None else None
    if checkpoint.is_native(path):
        params, config = checkpoint.load(path)
        if named is not None and named != config:
            raise ValueError(
                f"{path}: holds model {config.name!r}, not {named.name!r}; {_OMIT}"
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
    """Convert weights on disk, one tensor at a time, and return the model's config.

    Args:
        source, model: as in `load`.
        destination: a directory for "native" and "transformers"; a `.safetensors`,
            `.pth`, `.pt` or `.bin` file for "original".
        to: the layout to write.
        dtype: dtype to store weights in; None keeps the dtype of each tensor.
        allow_nonfinite, nest: as in `load`.

    Raises:
        FileNotFoundError, ValueError: as in `load`.
        FileExistsError: `destination` exists and is not an older one of its kind.
        OSError: it cannot be written.
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
    """Write parameters in the native, original or transformers layout.

    Args:
        params: nested dict of arrays.
        config: the `ModelConfig` that `params` belong to.
        destination, to, dtype: as in `convert`.
        unused: tensors of the source file that jax_depth does not use but writes back,
            as returned by `jax_depth_convert.unused`.

    Raises:
        FileExistsError, OSError: as in `convert`.
        ValueError: `params` do not fit `config`, or the layout cannot express it.
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


def config_of(model: str | ModelConfig) -> ModelConfig:
    """Return a config, or the one of a catalogue name or alias.

    Raises:
        ValueError: there is no such name.
    """
    if isinstance(model, ModelConfig):
        return model
    entry = MODELS.get(ALIASES.get(model, model))
    if entry is None:
        near = difflib.get_close_matches(model, [*MODELS, *ALIASES], n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "see `jax-depth models`"
        )
        raise ValueError(f"there is no model named {model!r}; {hint}")
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
        if found is not None and not _agrees(named, found):
            raise ValueError(
                f"its config.json describes {found.name!r}, not model {named.name!r}; "
                + _OMIT
            )
        if not size.fits(named):
            hint = f"; use {_NAME} with one of: {names}" if names else ""
            raise ValueError(f"holds {size}, not model {named.name!r}{hint}")
        return named
    if found is not None:
        return found
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ValueError(
            f"holds {size}, which fits no known model; in Python, give its ModelConfig "
            "as `model`"
        )
    raise ValueError(
        f"holds {size}, and several models have these keys and shapes; name the model "
        f"that it is, or that it was fine-tuned from, by {_NAME}, one of: {names}"
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
            f"{destination}: the original layout is written as a single file; end its "
            "name in .safetensors or .pth"
        )
    state = invert_params(params, config, "original") | dict(unused or {})
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with atomic(destination) as temporary:
            write(temporary, state, dtype)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{destination}: cannot be written ({reason}); choose another path"
        ) from None
