"""Keys of transformers' files: `Dinov2Model`, `DepthAnythingForDepthEstimation`.

Query, key and value are three tensors there and one here. Since version 5 the modules
have other names in memory (`q_proj`, `gate_proj`, ...) than in files; `save_pretrained`
still writes the older names, so those are written here too.
Upstream: transformers `conversion_mapping.py`, `models/dinov2`,
`models/depth_anything`.
"""

from jax_depth_convert.rules import Rule, below, layer, norm, part

_FILE_LAYER = (
    *part("attention.attention.query", "attn/qkv", 0, 3),
    *part("attention.attention.key", "attn/qkv", 1, 3),
    *part("attention.attention.value", "attn/qkv", 2, 3),
    *layer("attention.output.dense", "attn/proj", "linear"),
    *norm("norm1", "norm1"),
    Rule("layer_scale1.lambda1", "ls1/gamma"),
    *norm("norm2", "norm2"),
    *layer("mlp.fc1", "mlp/fc1", "linear"),
    *layer("mlp.fc2", "mlp/fc2", "linear"),
    *layer("mlp.weights_in", "mlp/w12", "linear"),
    *layer("mlp.weights_out", "mlp/w3", "linear"),
    Rule("layer_scale2.lambda1", "ls2/gamma"),
)

_MEMORY_LAYER = (
    *part("attention.q_proj", "attn/qkv", 0, 3, written=False),
    *part("attention.k_proj", "attn/qkv", 1, 3, written=False),
    *part("attention.v_proj", "attn/qkv", 2, 3, written=False),
    *part("attention.o_proj", "attn/proj", 0, 1, written=False),
    *part("mlp.gate_proj", "mlp/w12", 0, 2, written=False),
    *part("mlp.up_proj", "mlp/w12", 1, 2, written=False),
    *part("mlp.down_proj", "mlp/w3", 0, 1, written=False),
)

ENCODER = (
    Rule("embeddings.cls_token", "cls_token"),
    Rule("embeddings.position_embeddings", "pos_embed"),
    Rule("embeddings.mask_token", "mask_token"),
    Rule("embeddings.register_tokens", "register_tokens"),
    *layer("embeddings.patch_embeddings.projection", "patch_embed", "conv"),
    *below(_FILE_LAYER + _MEMORY_LAYER, "encoder.layer.{n}.", "block_{n}/"),
    *norm("layernorm", "norm"),
)

HEAD = (
    *layer("neck.reassemble_stage.layers.{i}.projection", "project_{i}", "conv"),
    *layer("neck.reassemble_stage.layers.0.resize", "resize_0", "conv_transpose"),
    *layer("neck.reassemble_stage.layers.1.resize", "resize_1", "conv_transpose"),
    *layer("neck.reassemble_stage.layers.3.resize", "resize_3", "conv"),
    Rule("neck.convs.0.weight", "layer_1_rn/kernel", "conv"),
    Rule("neck.convs.1.weight", "layer_2_rn/kernel", "conv"),
    Rule("neck.convs.2.weight", "layer_3_rn/kernel", "conv"),
    Rule("neck.convs.3.weight", "layer_4_rn/kernel", "conv"),
    # Fusion runs from the coarsest level, which is refinenet 4 and layer 0 there.
    *(
        rule
        for j, i in ((0, 4), (1, 3), (2, 2), (3, 1))
        for rule in (
            *layer(
                f"neck.fusion_stage.layers.{j}.projection",
                f"refinenet_{i}/out_conv",
                "conv",
            ),
            *layer(
                f"neck.fusion_stage.layers.{j}.residual_layer{{u}}.convolution{{c}}",
                f"refinenet_{i}/rcu{{u}}/conv{{c}}",
                "conv",
            ),
        )
    ),
    *layer("head.conv1", "output_conv1", "conv"),
    *layer("head.conv2", "output_conv2", "conv"),
    *layer("head.conv3", "output_conv3", "conv"),
)
