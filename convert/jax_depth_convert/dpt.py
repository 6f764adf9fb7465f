"""Keys of the `depth_head.` half of Depth Anything's own files.

Upstream: DepthAnything/Depth-Anything-V2 `depth_anything_v2/dpt.py`.
"""

from jax_depth_convert.rules import Rule, layer

HEAD = (
    *layer("projects.{i}", "project_{i}", "conv"),
    *layer("resize_layers.0", "resize_0", "conv_transpose"),
    *layer("resize_layers.1", "resize_1", "conv_transpose"),
    # resize_layers.2 is an identity.
    *layer("resize_layers.3", "resize_3", "conv"),
    Rule("scratch.layer{i}_rn.weight", "layer_{i}_rn/kernel", "conv"),
    *layer("scratch.refinenet{i}.out_conv", "refinenet_{i}/out_conv", "conv"),
    *layer(
        "scratch.refinenet{i}.resConfUnit{u}.conv{c}",
        "refinenet_{i}/rcu{u}/conv{c}",
        "conv",
    ),
    *layer("scratch.output_conv1", "output_conv1", "conv"),
    *layer("scratch.output_conv2.0", "output_conv2", "conv"),
    # output_conv2.1 is a ReLU.
    *layer("scratch.output_conv2.2", "output_conv3", "conv"),
)
