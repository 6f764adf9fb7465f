"""KerasHub on its JAX backend, given this library's weights.

It resizes the position embedding with another kernel, so its numbers agree with the
others' only at the trained size.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.task import Absent, Task
from jax_depth.config import EncoderConfig, ModelConfig

# Replaced in this order: their "lambda1" is our "gamma", their "gamma" our "scale".
_RENAMED = {
    "embeddings/patch_embeddings/projection": "encoder/patch_embed",
    "layernorm": "encoder/norm",
    "attention/attention/attention_output": "attn/proj",
    "layers_": "block_",
    "layer_scale": "ls",
    "gamma": "scale",
    "beta": "bias",
    "lambda1": "gamma",
}


def load(task: Task) -> Callable[[], np.ndarray]:
    """Return pixels to depth, by a jitted stateless call."""
    import jax
    import keras_hub  # pyright: ignore[reportMissingImports]

    from jax_depth import checkpoint

    params, config = checkpoint.load(task.native)
    encoder = config.encoder
    if not isinstance(encoder, EncoderConfig) or encoder.mlp != "gelu":
        raise Absent(f"KerasHub has no {task.model}")
    side = encoder.patch_size * encoder.position_grid
    if (task.height, task.width) != (side, side):
        raise Absent(f"KerasHub resizes positions differently; it is run at {side} px")
    model = _build(keras_hub.models, config, side)
    leaves = checkpoint.flatten(params)
    for variable in model.variables:
        value = _value(variable.path, leaves)
        variable.assign(np.asarray(value, np.float32).reshape(variable.shape))
    trained = [v.value for v in model.trainable_variables]
    held = [v.value for v in model.non_trainable_variables]

    @jax.jit
    def run(trained, held, pixels):
        depth, _ = model.stateless_call(trained, held, pixels, training=False)
        return jax.nn.relu(depth[..., 0])

    pixels = np.load(task.pixels)
    return lambda: np.asarray(run(trained, held, pixels))


def _build(models: Any, config: ModelConfig, side: int) -> Any:
    encoder, head = config.encoder, config.head
    assert isinstance(encoder, EncoderConfig) and head is not None
    backbone = models.DINOV2Backbone(
        patch_size=encoder.patch_size,
        num_layers=encoder.depth,
        hidden_dim=encoder.width,
        num_heads=encoder.heads,
        intermediate_dim=encoder.mlp_hidden,
        image_shape=(side, side, 3),
        position_embedding_shape=(side, side),
        apply_layernorm=True,
    )
    return models.DepthAnythingBackbone(
        backbone,
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=list(head.channels),
        fusion_hidden_dim=head.features,
        head_hidden_dim=head.output_channels,
        head_in_index=-1,
        feature_keys=[f"stage{tap + 1}" for tap in encoder.taps],
    )


def _value(path: str, leaves: Mapping[str, Any]) -> np.ndarray:
    """Return our parameter of a Keras variable, up to its shape."""
    parts = path.split("/")
    if parts[-1].endswith("position_embeddings"):
        return leaves["encoder/pos_embed"]
    if parts[-1] in ("cls_token", "mask_token"):
        return leaves[f"encoder/{parts[-1]}"]
    if parts[-2] in ("query", "key", "value"):
        # Fused in ours: q, k, v side by side, each with its heads in order.
        third = ("query", "key", "value").index(parts[-2])
        fused = leaves[f"encoder/block_{parts[1][7:]}/attn/qkv/{parts[-1]}"]
        return np.split(np.asarray(fused), 3, axis=-1)[third]
    if parts[0] == "head":
        return leaves["head/output_" + "/".join(parts[1:])]
    if parts[0] == "neck":
        return _neck(parts[1:], leaves)
    for theirs, ours in _RENAMED.items():
        path = path.replace(theirs, ours)
    return leaves[path]


def _neck(parts: list[str], leaves: Mapping[str, Any]) -> np.ndarray:
    stage, index = parts[0].rsplit("_", 1)
    if stage == "convs":
        return leaves[f"head/layer_{int(index) + 1}_rn/kernel"]
    if stage == "fusion_stage":  # theirs counts from the coarsest
        rest = "/".join(parts[1:]).replace("residual_layer", "rcu")
        rest = rest.replace("convolution", "conv").replace("projection", "out_conv")
        return leaves[f"head/refinenet_{4 - int(index)}/{rest}"]
    name = {"projection": "project", "resize": "resize"}[parts[1]]
    value = leaves[f"head/{name}_{index}/{parts[2]}"]
    if name == "resize" and index in "01" and parts[2] == "kernel":
        return np.swapaxes(value, 2, 3)  # Conv2DTranspose keeps (k, l, out, in)
    return value
