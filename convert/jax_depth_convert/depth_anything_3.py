"""Keys of Depth Anything 3's files, without the hub's `model.` in front.

Upstream: ByteDance-Seed/Depth-Anything-3 `model/da3.py`, `dualdpt.py`, `dpt.py`,
`cam_dec.py`, `cam_enc.py`.
"""

import dataclasses

from jax_depth_convert import dinov2, dpt
from jax_depth_convert.rules import Rule, below, layer, norm

_ENCODER = (
    *dinov2.ENCODER,
    Rule("camera_token", "camera_token"),
    *norm("blocks.{n}.attn.q_norm", "block_{n}/attn/q_norm"),
    *norm("blocks.{n}.attn.k_norm", "block_{n}/attn/k_norm"),
)

_DUAL_HEAD = (
    *dpt.HEAD,
    *norm("norm", "norm"),
    *layer("scratch.refinenet{i}_aux.out_conv", "refinenet_{i}_aux/out_conv", "conv"),
    *layer(
        "scratch.refinenet{i}_aux.resConfUnit{u}.conv{c}",
        "refinenet_{i}_aux/rcu{u}/conv{c}",
        "conv",
    ),
    *layer("scratch.output_conv1_aux.{l}.{c}", "rays/level_{l}_conv{c}", "conv"),
    *layer("scratch.output_conv2_aux.{l}.0", "rays/level_{l}_hidden", "conv"),
    # .1 and .3 permute axes, .4 is a ReLU. One LayerNorm serves the four levels.
    *norm("scratch.output_conv2_aux.0.2", "rays/norm"),
    *(
        dataclasses.replace(rule, alias=True)
        for level in (1, 2, 3)
        for rule in norm(f"scratch.output_conv2_aux.{level}.2", "rays/norm")
    ),
    *layer("scratch.output_conv2_aux.{l}.5", "rays/level_{l}_output", "conv"),
)

_SKY_HEAD = (
    *dpt.HEAD,
    *layer("scratch.sky_output_conv2.0", "sky_output_conv2", "conv"),
    *layer("scratch.sky_output_conv2.2", "sky_output_conv3", "conv"),
)

_CAMERA_DECODER = (
    *layer("backbone.0", "fc1", "linear"),
    *layer("backbone.2", "fc2", "linear"),
    *layer("fc_t", "translation", "linear"),
    *layer("fc_qvec", "quaternion", "linear"),
    *layer("fc_fov.0", "fov", "linear"),
)

_CAMERA_ENCODER = (
    *layer("pose_branch.fc1", "fc1", "linear"),
    *layer("pose_branch.fc2", "fc2", "linear"),
    *norm("token_norm", "token_norm"),
    *norm("trunk_norm", "trunk_norm"),
    *(
        dataclasses.replace(rule, pattern=rule.pattern.replace("blocks.", "trunk."))
        for rule in dinov2.BLOCK
    ),
)

ANY_VIEW = (
    *below(_ENCODER, "backbone.pretrained.", "encoder/"),
    *below(_DUAL_HEAD, "head.", "head/"),
    *below(_CAMERA_DECODER, "cam_dec.", "camera_decoder/"),
    *below(_CAMERA_ENCODER, "cam_enc.", "camera_encoder/"),
)
MONO = (
    *below(dinov2.ENCODER, "backbone.pretrained.", "encoder/"),
    *below(_SKY_HEAD, "head.", "head/"),
)
NESTED = (*below(ANY_VIEW, "da3.", ""), *below(MONO, "da3_metric.", "metric/"))
