"""Keys of Video Depth Anything's files: V2's, and those of the temporal modules.

Upstream: DepthAnything/Video-Depth-Anything `video_depth_anything/dpt_temporal.py` and
`motion_module/motion_module.py`.
"""

import numpy as np

from jax_depth.models.temporal import positions
from jax_depth_convert import dinov2, dpt
from jax_depth_convert.rules import Constant, Rule, below, layer, norm

# Dropouts and activations between these have numbers and no keys.
_ATTENTION = (
    *(
        Rule(
            f"attention_blocks.{{j}}.to_{name}.weight",
            "attn_{j}/qkv/kernel",
            "linear",
            part=(i, 3),
        )
        for i, name in enumerate("qkv")
    ),
    *layer("attention_blocks.{j}.to_out.0", "attn_{j}/proj", "linear"),
    Constant(
        "attention_blocks.{j}.pos_encoder.pe",
        "attn_{j}/proj/bias",
        lambda shape: np.asarray(positions(32, shape[0]))[None],
    ),
    *norm("norms.{j}", "norm_{j}"),
    *layer("ff.net.0.proj", "mlp/fc1", "linear"),
    *layer("ff.net.2", "mlp/fc2", "linear"),
    *norm("ff_norm", "mlp_norm"),
)
_MODULE = (
    *norm("norm", "norm"),
    *layer("proj_in", "proj_in", "linear"),
    *below(_ATTENTION, "transformer_blocks.0.", ""),
    *layer("proj_out", "proj_out", "linear"),
)

ORIGINAL = (
    *below(dinov2.ENCODER, "pretrained.", "encoder/"),
    *below(dpt.HEAD, "head.", "head/"),
    *below(
        _MODULE, "head.motion_modules.{m}.temporal_transformer.", "head/temporal_{m}/"
    ),
)
