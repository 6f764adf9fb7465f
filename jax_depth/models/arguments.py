"""Arguments of the pure functions that are something else altogether: a sentence."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jax_depth.config import ModelConfig

# Of what Flax says, before it names its own functions and a page about them.
_MAX_REASON = 200


def check_config(config: Any) -> None:
    """Raise TypeError for what is no description of a model."""
    if not isinstance(config, ModelConfig):
        raise TypeError(
            f"config is {_a(config)}, not a ModelConfig; give what jax_depth."
            "load_params returns beside the parameters, or "
            "jax_depth.MODELS[name].config"
        )


def check_params(params: Any) -> None:
    """Raise TypeError for what is no nested dict."""
    if not isinstance(params, Mapping):
        raise TypeError(
            f"params is {_a(params)}, not a nested dict of arrays; give what "
            "jax_depth.load_params or jax_depth.init returns"
        )


def check_array(x: Any, name: str, shape: str) -> None:
    """Raise TypeError for what has no shape and no type.

    Args:
        x: what was given.
        name: of the argument.
        shape: that it should have, as in "(batch, height, width, 3)".
    """
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        raise TypeError(f"{name} is {_a(x)}; give an array {shape}")


def check_pixels(pixels: Any) -> None:
    """Raise for pixels that are no array, or whose numbers cannot be normalised ones.

    Raises:
        TypeError: no array.
        ValueError: whole numbers, as of a photo.
    """
    check_array(pixels, "pixels", "that jax_depth.preprocess makes from a picture")
    if not jnp.issubdtype(pixels.dtype, jnp.floating):
        raise ValueError(
            f"pixels of type {pixels.dtype} are not normalised; jax_depth.preprocess "
            "makes them from a picture, and jax_depth.predict takes photos as they are"
        )


def check_key(key: Any) -> None:
    """Raise TypeError for what is no key of `jax.random`."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not (new or (dtype == jnp.uint32 and shape in ((2,), (4,)))):
        raise TypeError(f"key is {_a(key)}; give jax.random.key(0), or another seed")


@contextlib.contextmanager
def fitting(config: ModelConfig) -> Iterator[None]:
    """Say in one sentence what Flax says of parameters that are another model's.

    Raises:
        ValueError: a parameter is missing or of another shape.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__ != "flax.errors":
            raise
        reason = " ".join(str(error).split()).partition(" (https://")[0]
        raise ValueError(
            f"the parameters do not fit model {config.name!r}: "
            f"{reason[:_MAX_REASON].rstrip('.')}; give those that jax_depth."
            "load_params returns with this config"
        ) from None


def _a(x: Any) -> str:
    name = type(x).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
