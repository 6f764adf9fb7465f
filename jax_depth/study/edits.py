"""Parameters changed by hand, to see what reaches the output."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32, Params
from jax_depth.config import ModelConfig

_LAST = "output_conv3"
# What makes up a token before the first block; all of it is linear in these.
_EMBEDDING = ("patch_embed", "proj", "cls_token", "pos_embed", "register_tokens")


def scale_last_layer(params: Params, factor: float) -> dict[str, Any]:
    """Return parameters whose last convolution, bias included, is `factor` times.

    A relative model's output is then `factor` times for every picture, and nothing in
    the affine-invariant loss notices.
    """
    head = dict(params["head"])
    head[_LAST] = _times(head[_LAST], factor)
    return {**params, "head": head}


def shift_last_layer(params: Params, offset: float) -> dict[str, Any]:
    """Return parameters whose last bias is larger by `offset`.

    A relative model's output then is too, but for pixels its final ReLU had cut off.
    """
    head = dict(params["head"])
    last = dict(head[_LAST])
    last["bias"] = last["bias"] + jnp.asarray(offset, last["bias"].dtype)
    head[_LAST] = last
    return {**params, "head": head}


def scale_tokens(params: Params, config: ModelConfig, factor: float) -> dict[str, Any]:
    """Return parameters with which every token is `factor` times as long, everywhere.

    The embedding and the gain of every residual branch are multiplied. A block reads
    its tokens through a LayerNorm, so each branch gives what it gave before its gain,
    and the whole residual stream is `factor` times what it was.
    """
    encoder = dict(params["encoder"])
    for name in _EMBEDDING:
        if name in encoder:
            encoder[name] = _times(encoder[name], factor)
    for i in range(config.encoder.depth):
        block = dict(encoder[f"block_{i}"])
        for name in ("ls1", "ls2"):
            block[name] = _times(block[name], factor)
        encoder[f"block_{i}"] = block
    return {**params, "encoder": encoder}


def to_one_norm(tokens: Float[Array, "1 n d"]) -> Float32[Array, "1 n d"]:
    """Return tokens with their directions, all as long as the median one."""
    lengths = jnp.sqrt(jnp.square(tokens).sum(-1, keepdims=True))
    return tokens * (jnp.median(lengths) / jnp.maximum(lengths, 1e-30))


def _times(tree: Any, factor: float) -> Any:
    return jax.tree.map(lambda leaf: leaf * jnp.asarray(factor, leaf.dtype), tree)
