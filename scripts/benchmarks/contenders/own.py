"""This library: `Estimator.run`, by XLA or by another engine."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.task import Absent, Task
from jax_depth.config import EncoderConfig, ModelConfig


def load(
    task: Task,
    dtype: str = "float32",
    attention: str | None = None,
    engine: str | None = None,
) -> Callable[[], np.ndarray]:
    """Return pixels to depth; None for the default `attention` or `engine`."""
    from jax_depth import checkpoint
    from jax_depth.inference.estimator import Estimator

    params, config = checkpoint.load(task.native)
    config = configured(config, dtype, attention=attention)
    options: dict[str, Any] = {} if engine is None else {"engine": engine}
    if engine and "engine" not in inspect.signature(Estimator).parameters:
        raise Absent("this version has no engines")
    try:
        estimator = Estimator(params, config, **options)
    except ValueError as error:
        if engine is None:
            raise
        raise Absent(str(error)) from None  # the engine's library is missing
    pixels = np.load(task.pixels)
    return lambda: np.asarray(estimator.run(pixels).depth)


def configured(
    config: ModelConfig, dtype: str, attention: str | None = None, remat: bool = False
) -> ModelConfig:
    """Return the model's config with the options of a row."""
    encoder = config.encoder
    if attention is not None:
        if not isinstance(encoder, EncoderConfig):
            raise Absent(f"{config.name} has only one form of attention")
        encoder = dataclasses.replace(encoder, attention=attention)
    encoder = dataclasses.replace(encoder, remat=remat)
    return dataclasses.replace(config, encoder=encoder, dtype=dtype)
