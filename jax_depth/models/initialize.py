"""Random parameters for training from scratch."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jax_depth._forked import check_process
from jax_depth._typing import Array, Float32, PRNGKeyArray
from jax_depth.config import ModelConfig
from jax_depth.models.arguments import check_config, check_key
from jax_depth.models.depth_anything import param_shapes


def init(config: ModelConfig, key: PRNGKeyArray) -> dict:
    """Return randomly initialised parameters as a plain nested dict, float32.

    Tokens, position embeddings and dense kernels are normal with deviation 0.02 as in
    DINOv2 (`init_weights_vit_timm`); convolutions normal with deviation
    1 / sqrt(fan in), those that end a prompt's branch 0; LayerScale and norms start at
    1, biases at 0. The very last bias of a relative model starts at 1, as does that of
    a field of view: its final ReLU is dead at 3 of 8 seeds under torch's default
    initialisation.

    Args:
        config: the model.
        key: `jax.random.key(seed)`.

    Raises:
        TypeError: an argument that is something else.
    """
    check_process()
    check_config(config)
    check_key(key)
    leaves, tree = jax.tree_util.tree_flatten_with_path(param_shapes(config))
    # One draw for all: a generator per parameter compiles for half a minute.
    drawn = _noise(key, sum(leaf.size for _, leaf in leaves))
    # Cut up by NumPy: a program with a result per parameter compiles for seconds, even
    # of a toy. Inside a caller's own program there is nothing to fetch.
    traced = isinstance(drawn, Tracer)
    noise: Any = drawn if traced else np.asarray(drawn)
    values, start = [], 0
    for path, leaf in leaves:
        mean, deviation = _moments([part.key for part in path], leaf.shape, config)
        draw = noise[start : start + leaf.size].reshape(leaf.shape)
        values.append(np.float32(mean) + np.float32(deviation) * draw)
        start += leaf.size
    params = jax.tree.unflatten(tree, values)
    if traced:
        return params
    # Where the key is, if it was put there.
    return jax.device_put(params, drawn.sharding if drawn.committed else None)


@functools.partial(jax.jit, static_argnums=1)
def _noise(key: PRNGKeyArray, count: int) -> Float32[Array, " n"]:
    return jax.random.normal(key, (count,), jnp.float32)


def _moments(path: list[str], shape: tuple[int, ...], config: ModelConfig):
    """Return the mean and standard deviation of one parameter."""
    name = path[-1]
    if name in ("scale", "gamma"):
        return 1.0, 0.0
    if name in ("cls_token", "pos_embed", "register_tokens"):
        return 0.0, 0.02
    if path[-3:] == ["prompt", "conv3", "kernel"]:
        return 0.0, 0.0  # at first a prompt changes nothing
    if name == "kernel":
        return 0.0, 0.02 if len(shape) == 2 else 1 / math.sqrt(math.prod(shape[:-1]))
    if name == "camera_token":
        return 0.0, 1.0
    dead = [["camera_decoder", "fov", "bias"]]
    if config.kind == "inverse_depth":
        dead.append(["head", "output_conv3", "bias"])
    return (1.0 if path in dead else 0.0), 0.0
