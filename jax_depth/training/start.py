"""What a run starts from: the model of a recipe and its first parameters."""

import dataclasses

import jax
import numpy as np

from jax_depth import checkpoint
from jax_depth._typing import Params
from jax_depth.catalog import MODELS
from jax_depth.config import EncoderConfig, HeadConfig, HybridConfig, ModelConfig
from jax_depth.models.initialize import init
from jax_depth.training.recipe import ModelSettings, Recipe
from jax_depth.weights import load_params

# Two blocks and a thin head: compiles in seconds.
_SMOKE = ModelConfig(
    "smoke",
    EncoderConfig(
        width=64, depth=2, heads=2, taps=(0, 0, 1, 1), mlp_hidden=128, position_grid=4
    ),
    HeadConfig(16, (16, 16, 16, 16), output_channels=8),
)


def model_config(recipe: Recipe) -> ModelConfig:
    """Return the network of a recipe.

    Raises:
        ValueError: an unknown architecture, one without a head, or a crop that does
            not fit its patches.
    """
    settings = recipe.model
    config = _architecture(settings)
    patch = config.encoder.patch_size
    if recipe.data.size % patch:
        raise ValueError(
            f"data.size={recipe.data.size} is no multiple of {patch}, the patch size "
            f"of {settings.architecture}; take "
            f"{max(1, round(recipe.data.size / patch)) * patch}"
        )
    changes: dict = {"remat": settings.remat}
    if isinstance(config.encoder, EncoderConfig):
        changes["scan"] = settings.scan
    elif settings.scan:
        raise ValueError(f"model.scan is not for {settings.architecture}")
    return dataclasses.replace(
        config,
        name=f"{recipe.name}-{settings.architecture}",
        encoder=dataclasses.replace(config.encoder, **changes),
        kind=settings.kind,
        max_depth=settings.max_depth,
        dtype=settings.dtype,
        image_size=recipe.data.size,
    )


def initial_params(recipe: Recipe, config: ModelConfig) -> Params:
    """Return the parameters before the first step, float32.

    Raises:
        ValueError: `model.init` names nothing, or weights of another shape.
    """
    settings = recipe.model
    params = init(config, jax.random.key(recipe.run.seed))
    if not settings.init:
        return params
    try:
        loaded, _ = load_params(settings.init)
    except ValueError:
        # A bare weight file does not say what it holds; the recipe does.
        loaded, _ = load_params(settings.init, model=settings.architecture)
    leaves = checkpoint.flatten(loaded)
    if settings.init_parts == "encoder":
        leaves = {k: v for k, v in leaves.items() if k.startswith("encoder/")}
        rest = checkpoint.flatten(params)
        leaves |= {k: v for k, v in rest.items() if not k.startswith("encoder/")}
    checkpoint.check(leaves, config, f"model.init={settings.init}")
    leaves = {name: np.asarray(leaf, np.float32) for name, leaf in leaves.items()}
    return checkpoint.unflatten(leaves)


def _architecture(settings: ModelSettings) -> ModelConfig:
    name = settings.architecture
    if name == _SMOKE.name:
        return _SMOKE
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
    assert isinstance(config.encoder, EncoderConfig | HybridConfig)
    return config
