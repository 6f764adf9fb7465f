"""What a run starts from: the model of a recipe and its first parameters."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jax_depth import checkpoint
from jax_depth._typing import Params
from jax_depth.catalog import MODELS
from jax_depth.config import (
    EncoderConfig,
    HeadConfig,
    ModelConfig,
    PromptHeadConfig,
    with_encoder,
)
from jax_depth.config import from_json as config_from_json
from jax_depth.inference.prompted import takes_prompts
from jax_depth.models.architectures import network_row
from jax_depth.models.initialize import init
from jax_depth.training import adapters
from jax_depth.training.recipe import ModelSettings, Recipe
from jax_depth.weights import read_params

# Two blocks and a thin head: compiles in seconds.
_SMOKE = ModelConfig(
    "smoke",
    EncoderConfig(
        width=64, depth=2, heads=2, taps=(0, 0, 1, 1), mlp_hidden=128, position_grid=4
    ),
    HeadConfig(16, (16, 16, 16, 16), output_channels=8),
)
_SMOKE_PROMPT = dataclasses.replace(
    _SMOKE,
    name="smoke-prompt",
    head=PromptHeadConfig(16, (16, 16, 16, 16), output_channels=8),
    kind="metric_depth",
    resample="shrink_area",
    restore="half_pixel",
)
_OWN = {config.name: config for config in (_SMOKE, _SMOKE_PROMPT)}


def model_config(recipe: Recipe) -> ModelConfig:
    """Return the network of a recipe.

    Raises:
        ValueError: an unknown architecture, one without a head, or a crop that does
            not fit its patches.
    """
    settings = recipe.model
    config = _architecture(settings)
    if network_row(config).says:
        raise ValueError(
            f"model.architecture={settings.architecture} cannot be trained here yet: "
            "recipes have no loss for its kind of depth; use a depth-anything-v2 model"
        )
    patch = config.encoder.patch_size
    if recipe.data.size % patch:
        raise ValueError(
            f"data.size={recipe.data.size} is not a multiple of {patch}, the patch "
            f"size of {settings.architecture}; use "
            f"{max(1, round(recipe.data.size / patch)) * patch}"
        )
    if settings.scan and not hasattr(config.encoder, "scan"):
        raise ValueError(f"model.scan does not apply to {settings.architecture}")
    config = with_encoder(config, remat=settings.remat, scan=settings.scan)
    assert config.head is not None
    if settings.kind != config.kind:
        # The head is that architecture's, its activation this run's.
        plain = dataclasses.replace(config.head, activation="relu")
        config = dataclasses.replace(config, head=plain, max_depth=None)
    prompted = takes_prompts(config)
    if prompted and recipe.loss.cutmix:
        raise ValueError(
            f"loss.cutmix={recipe.loss.cutmix:g} pastes pictures without their prompts;"
            f" {settings.architecture} needs loss.cutmix=0"
        )
    return dataclasses.replace(
        config,
        name=f"{recipe.name}-{settings.architecture}",
        kind=settings.kind,
        # A prompt's range takes its place.
        max_depth=None if prompted else settings.max_depth,
        dtype=settings.dtype,
        image_size=recipe.data.size,
    )


def initial_params(recipe: Recipe, config: ModelConfig) -> Params:
    """Return the parameters before the first step, float32; with `adapters` if asked.

    Raises:
        ValueError: `model.init` names nothing, or weights of another shape; a
            `model.lora_rank` that does not fit.
    """
    rank, key = recipe.model.lora_rank, jax.random.key(recipe.run.seed)
    params = _base_params(recipe.model, config, key)
    if not rank:
        return params
    leaves = checkpoint.flatten(params)
    return checkpoint.unflatten(
        leaves | adapters.factors(leaves, rank, jax.random.fold_in(key, 1))
    )


class StartError(ValueError):
    """What a run starts from cannot be loaded."""


def architecture_of(source: str, architecture: str) -> str:
    """Return the architecture that goes with weights to start from.

    Args:
        source: of `model.init`.
        architecture: of the recipe, kept unless `source` is a depth model of another
            network with a name in the catalogue.
    """
    if source in MODELS:
        config = MODELS[source].config
    elif checkpoint.is_native(source):
        text = (Path(source) / checkpoint.CONFIG).read_text(encoding="utf-8")
        config = config_from_json(text)
    else:
        return architecture
    known = _OWN | {n: entry.config for n, entry in MODELS.items()}
    wanted = known.get(architecture)
    if config.head is None or wanted is None or _network(wanted) == _network(config):
        return architecture
    names = [source, *known]
    found = (n for n in names if n in known and _network(known[n]) == _network(config))
    return next(found, architecture)


def _network(config: ModelConfig) -> tuple:
    """Return what decides the shapes of a model's parameters."""
    encoder: Any = config.encoder
    same = {"remat": False, "scan": False, "coarse_size": None}
    plain = {name: value for name, value in same.items() if hasattr(encoder, name)}
    head = config.head and (config.head.features, config.head.channels)
    return dataclasses.replace(encoder, **plain), head


def _base_params(settings: ModelSettings, config: ModelConfig, key) -> Params:
    params = init(config, key)
    if not settings.init:
        return params
    try:
        loaded, origin = _load(settings, config)
    except (ValueError, OSError) as error:
        raise StartError(f"{error}; it is what model.init (--init) names") from None
    known = origin.kind
    if settings.init_parts == "all" and known not in (config.kind, "features"):
        warnings.warn(
            f"model.init={settings.init} predicts {known}, this run {config.kind}, so "
            "its head starts far off; model.init_parts=encoder draws a new head",
            stacklevel=1,
        )
    leaves = checkpoint.flatten(loaded)
    if takes_prompts(config) and not takes_prompts(origin):
        # The branch that other models lack starts without effect.
        own = checkpoint.flatten(params)
        leaves |= {name: leaf for name, leaf in own.items() if "/prompt/" in name}
    if settings.init_parts == "encoder":
        leaves = {k: v for k, v in leaves.items() if k.startswith("encoder/")}
        rest = checkpoint.flatten(params)
        leaves |= {k: v for k, v in rest.items() if not k.startswith("encoder/")}
    where = f"model.init={settings.init} is model {origin.name!r}"
    try:
        checkpoint.check(leaves, config, where)
    except ValueError as error:
        raise StartError(
            f"{error}; give weights of model.architecture={settings.architecture}, or "
            "set that to theirs"
        ) from None
    leaves = {name: np.asarray(leaf, np.float32) for name, leaf in leaves.items()}
    return checkpoint.unflatten(leaves)


def _load(settings: ModelSettings, config: ModelConfig) -> tuple[Params, ModelConfig]:
    """Return the weights to start from and the model they are of."""
    path = Path(settings.init)
    if not path.is_file():
        return read_params(settings.init)
    # A bare weight file does not say what it holds; the recipe does.
    wanted = [config]
    if takes_prompts(config):
        wanted.append(_without_prompt(config, settings.max_depth))
    if settings.init_parts == "encoder":
        bare = dataclasses.replace(config, head=None, kind="features", max_depth=None)
        wanted.append(bare)
    errors = []
    for candidate in wanted:
        try:
            return read_params(path, model=candidate)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _without_prompt(config: ModelConfig, max_depth: float | None) -> ModelConfig:
    """Return the metric model that a model with prompts is without their branch."""
    assert config.head is not None
    head = HeadConfig(**vars(config.head))
    return dataclasses.replace(config, head=head, max_depth=max_depth)


def _architecture(settings: ModelSettings) -> ModelConfig:
    name = settings.architecture
    if name in _OWN:
        return _OWN[name]
    if name not in MODELS:
        raise ValueError(
            f"model.architecture={name!r} is unknown; `jax-depth models` lists them"
        )
    config = MODELS[name].config
    if config.head is None:
        raise ValueError(
            f"model.architecture={name!r} is a bare encoder; name a depth model and "
            "put the encoder into model.init with model.init_parts=encoder"
        )
    return config
