"""Executables made ahead of time: every program a model needs for given pictures."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.inference.engines.programs import file_name, without_jax_cache, write
from jax_depth.inference.engines.xla import compile_forward
from jax_depth.weights import rounded_kernels


def write_executables(
    params: Params,
    config: ModelConfig,
    sizes: Iterable[tuple[int, int]],
    folder: Path,
    batch_size: int = 1,
    device: Any = None,
) -> Iterator[Path]:
    """Compile `forward` for every size and batch, and yield the files as they are made.

    An `Estimator` fills its batches up to a power of two, so there is one program for
    each power up to `batch_size`, and for each size.

    Args:
        params: nested dict of float32 arrays, as `read_params` gives it.
        config: the model, with the dtype to compute in.
        sizes: (height, width) of what the network sees, multiples of the patch size;
            see `jax_depth.inference.preprocess.processing_size`.
        folder: where the files go; made if missing.
        batch_size: pictures that are run together at most.
        device: None for the first one.

    Raises:
        ValueError: a size that is not a multiple of the patch size.
        OSError: a file cannot be written.
    """
    device = jax.local_devices()[0] if device is None else device
    params = jax.device_put(rounded_kernels(dict(params), config), device)
    sharding = jax.sharding.SingleDeviceSharding(device)
    folder.mkdir(parents=True, exist_ok=True)
    for height, width in dict.fromkeys(sizes):
        for power in range(math.ceil(math.log2(batch_size)) + 1):
            shape = (2**power, height, width, 3)
            pixels: Any = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)
            with without_jax_cache():
                program = compile_forward(config, params, pixels)
            path = folder / file_name(config, shape)
            write(path, program, config, pixels)
            yield path
