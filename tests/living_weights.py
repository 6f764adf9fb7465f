"""Weights that are drawn from a tensor's key alone, the same in every framework."""

import math
import zlib

import numpy as np

_UPSAMPLING = (
    "resize_layers.0",
    "resize_layers.1",
    "layers.0.resize",
    "layers.1.resize",
)


def value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 values that keep a network's activations of order one."""
    rng = np.random.default_rng([0, zlib.crc32(key.encode())])
    draw = rng.standard_normal(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf in ("gamma", "lambda1"):
        x = 0.3 + 0.05 * draw
    elif leaf in ("cls_token", "pos_embed", "mask_token", "position_embeddings"):
        x = 0.3 * draw
    elif leaf == "bias":
        x = 0.1 * draw
        if key.endswith(("output_conv2.2.bias", "head.conv3.bias")):
            x = x + 2.0
    elif leaf == "weight" and len(shape) == 1:
        x = 1 + 0.1 * draw
    else:
        # A transposed convolution whose stride is its kernel sums over its inputs.
        transposed = any(part in key for part in _UPSAMPLING)
        fan = shape[0] if transposed else math.prod(shape[1:])
        x = draw / math.sqrt(fan)
    return np.asarray(x, np.float32)
