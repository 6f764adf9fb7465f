"""Load parameters by name or from a file: bundled, cached, downloaded or converted.

This is the only module of the library that calls the converter.
"""

import dataclasses
import difflib
import importlib.resources
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jax_depth import checkpoint
from jax_depth._forked import check_process
from jax_depth._typing import Params
from jax_depth.catalog import ALIASES, MODELS, Entry
from jax_depth.config import Dtype, ModelConfig
from jax_depth.formats.address import local
from jax_depth.formats.cache import cache_directory as cache_directory
from jax_depth.models.architectures import stays_float32
from jax_depth.models.arguments import check_config, check_params

# Before a name: that architecture, untrained.
RANDOM = "random:"
_WEIGHT_FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
_OFFLINE_TIMEOUT = 3.0  # seconds to reach the hub before calling it unreachable


def load_params(
    name: str | os.PathLike,
    model: str | ModelConfig | None = None,
    dtype: Dtype = "float32",
) -> tuple[dict[str, Any], ModelConfig]:
    """Return the parameters of a model on the default device, and its config.

    Args:
        name: as in `jax_depth.load`: a name in `MODELS`, a model folder, or a weight
            file with `model`.
        model: for a weight file, the model it holds or was fine-tuned from: a name, or
            a `ModelConfig`.
        dtype: what the returned config computes in, "float32" or "bfloat16".

    Returns:
        A plain nested dict of float32 JAX arrays, and the config. The arrays stay on
        the device, so a jitted `jax_depth.forward` does not transfer them again.

    Raises:
        TypeError, ValueError, FileNotFoundError, ConnectionError: as in
            `jax_depth.weights.read_params`.
    """
    check_process()
    params, config = read_params(name, model, dtype)
    return jax.device_put(params), config


def save_params(
    directory: str | os.PathLike, params: Params, config: ModelConfig
) -> None:
    """Write a model folder, the inverse of `load_params`; `load` reads it too.

    Args:
        directory: a new or empty folder, or an older model folder to replace; it is
            written atomically.
        params: nested dict of arrays, as from `init`, `load_params` or training.
        config: the `ModelConfig` that `params` belong to.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: `params` do not fit `config`; the message lists every mismatch.
        FileExistsError: `directory` is a file or holds something else.
    """
    check_config(config)
    check_params(params)
    if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params)):
        check_process()
    checkpoint.save(directory, params, config)


def read_params(
    source: str | os.PathLike,
    model: str | ModelConfig | None = None,
    dtype: Dtype = "float32",
) -> tuple[dict[str, Any], ModelConfig]:
    """Return a model's parameters, in host memory, and its config.

    Args:
        source: a name in `MODELS` or `ALIASES`, or `random:` before one for that
            model with random weights, seed 0; a native model directory; a
            transformers directory; a `.safetensors`, `.pth`, `.pt`, `.bin` or `.ckpt`
            file in a published layout, published or fine-tuned. An existing path takes
            precedence over a name; a folder that has the name of a model does so only
            if it contains weights.
        model: the model a weight file holds or was fine-tuned from: a name, or a
            `ModelConfig` (a catalogue config with your own `max_depth`, for example).
            Needed for a file without a `config.json`, since V1, V2 and metric files
            have the same keys.
        dtype: what the returned config computes in; the parameters are float32.

    Returns:
        A plain nested dict of float32 NumPy arrays, and the config.

    Raises:
        TypeError: neither a name nor a path.
        ValueError: an unknown name, a damaged or unsupported file, or one that could
            hold several models; or an object-store URL, which must be mounted.
        FileNotFoundError: there is no such file.
        ConnectionError: published weights that are neither cached nor reachable.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"the model must be a name or a path, got {source!r:.80}; see `jax-depth "
            "models`"
        )
    if not str(source).strip():
        raise ValueError("the model's name is empty; see `jax-depth models`")
    if str(source).startswith(RANDOM):
        params, config = _random(str(source), model)
    elif (path := local(source, "the model")).exists() and not means_name(source):
        params, config = _load_path(path, model)
    else:
        entry = _entry_of(str(source))
        if model is not None:
            raise ValueError(
                f"{source}: `model` says what a weight file holds; with the name of a "
                "model, leave it out"
            )
        params, config = _load_entry(entry)
    # Files may store half precision; computation always starts from float32.
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
    try:
        checkpoint.refuse_nonfinite(checkpoint.flatten(params))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return params, dataclasses.replace(config, dtype=dtype)


def rounded_kernels(params: Params, config: ModelConfig) -> Params:
    """Return parameters, with every kernel that is only used in bfloat16 rounded to it.

    Under `config.dtype` "bfloat16" the network rounds the kernels of its products and
    convolutions at every call. Rounded once they take half the memory, and `forward`
    gives the same bits. Biases, norms, position embeddings and the kernels of layers
    that stay float32, see `models/architectures.py`, are returned as they are; under
    "float32" everything is.

    Args:
        params: nested dict of NumPy or JAX arrays, float32.
        config: the model.
    """
    if config.dtype == "float32":
        return params

    def rounded(path, leaf):
        names = tuple(part.key for part in path)
        if names[-1] != "kernel" or stays_float32(names, config):
            return leaf
        return leaf.astype(ml_dtypes.bfloat16)

    return jax.tree_util.tree_map_with_path(rounded, params)


def means_name(source: str | os.PathLike) -> bool:
    """Whether `source` is a name in the catalogue rather than a path.

    A file, or a folder of photos, that happens to have a model's name does not shadow
    the model; a folder that contains a config or weights does.
    """
    if str(source) not in MODELS and str(source) not in ALIASES:
        return False
    path = Path(source)
    return not path.is_dir() or not any(
        file.name == "config.json" or file.suffix in _WEIGHT_FILES
        for file in path.iterdir()
    )


def is_cached(name: str) -> bool:
    """Whether `name` loads without a download."""
    entry = MODELS[ALIASES.get(name, name)]
    return entry.bundled or _native(entry).exists() or _hub_file(entry) is not None


def _entry_of(name: str) -> Entry:
    name = ALIASES.get(name, name)
    if name in MODELS:
        return MODELS[name]
    if "/" in name or Path(name).suffix in _WEIGHT_FILES:
        raise FileNotFoundError(f"{name}: no such file or directory")
    near = difflib.get_close_matches(name, [*MODELS, *ALIASES], n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `jax-depth models`"
    raise ValueError(f"there is no model or file named {name!r}; {hint}")


def _random(source: str, model: str | ModelConfig | None):
    name = source.removeprefix(RANDOM)
    entry = MODELS.get(ALIASES.get(name, name))
    if entry is None or model is not None:
        raise ValueError(
            f"{source}: there is no model named {name!r}; see `jax-depth models`"
            if entry is None
            else f"{source} already says which model; leave `model` out"
        )
    check_process()
    # Late: this imports the networks, which reading weights does without.
    from jax_depth.models.initialize import init

    return init(entry.config, jax.random.key(0)), entry.config


def _load_path(path: Path, model: str | ModelConfig | None):
    if model is None and checkpoint.is_native(path):
        return checkpoint.load(path)
    import jax_depth_convert

    return jax_depth_convert.load(path, model)


def _load_entry(entry: Entry):
    name = entry.config.name
    if entry.bundled:
        bundled = importlib.resources.files("jax_depth") / "assets" / name
        with importlib.resources.as_file(bundled) as directory:
            return checkpoint.load(directory)
    if (directory := _native(entry)).exists():
        return checkpoint.load(directory)

    file = _hub_file(entry) or _download(entry)
    import jax_depth_convert

    state = jax_depth_convert.read(file)
    params = jax_depth_convert.from_torch(state, entry.config)
    if entry.licence != "Apache-2.0":
        detail = f" ({entry.note})" if entry.note else ""
        print(
            f"{name}: the licence of the weights is {entry.licence}{detail}",
            file=sys.stderr,
        )
    try:
        unused = jax_depth_convert.unused(state)
        checkpoint.save(directory, params, entry.config, unused=unused)
    except OSError as error:
        warnings.warn(
            f"{name}: converted weights could not be cached in {directory} ({error}); "
            "they will be converted again next time",
            stacklevel=4,
        )
    return params, entry.config


def _native(entry: Entry) -> Path:
    return cache_directory() / entry.config.name


def _hub_file(entry: Entry) -> str | None:
    """Return the published file if the hub's cache on this machine has it."""
    if entry.repository is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(entry.repository, entry.file)
    return file if isinstance(file, str) else None


def _download(entry: Entry) -> str:
    name = entry.config.name
    if entry.repository is None:
        raise ValueError(
            f"{name}: no weights to download ({entry.note or 'not published'}); if you "
            f"have the file, load it with jax_depth.load(file, model={name!r})"
        )
    import huggingface_hub
    from huggingface_hub import constants

    remedy = (
        f"download {entry.file} from {entry.repository} on another machine and use "
        f"jax_depth.load(file, model={name!r}), or use the bundled model 'tiny'"
    )
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError(
            f"{name}: the weights are not cached, and HF_HUB_OFFLINE is set; unset it, "
            f"or {remedy}"
        )
    try:
        # The hub client retries for half a minute; one short question first.
        session = huggingface_hub.get_session()
        session.head(constants.ENDPOINT, timeout=_OFFLINE_TIMEOUT)
    except Exception as error:
        raise ConnectionError(
            f"{name}: the weights are not cached, and {constants.ENDPOINT} cannot be "
            f"reached ({type(error).__name__}); {remedy}"
        ) from None
    try:
        return huggingface_hub.hf_hub_download(entry.repository, entry.file)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ConnectionError(
            f"{name}: downloading {entry.repository} failed ({reason}); {remedy}"
        ) from None
