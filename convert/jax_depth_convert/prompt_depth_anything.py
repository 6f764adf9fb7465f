"""Keys of Prompt Depth Anything's files: Depth Anything V2's and the prompt's branch.

Upstream: DepthAnything/PromptDA `promptda/model/blocks.py` and
`promptda/promptda.py`; transformers `models/prompt_depth_anything`. Every key in the
authors' `model.ckpt` has a prefix from their training code.
"""

import numpy as np

from jax_depth.config import IMAGENET_MEAN, IMAGENET_STD
from jax_depth_convert import depth_anything
from jax_depth_convert.rules import Constant, layer


def _buffer(values: tuple[float, ...]):
    return lambda _: np.array(values, np.float32).reshape(1, 3, 1, 1)


_UNIT = "head/refinenet_{i}/prompt"
ORIGINAL = (
    *depth_anything.TABLES["original", True],
    # .1 and .3 are ReLUs.
    *(
        rule
        for j, name in enumerate(("conv1", "conv2", "conv3"))
        for rule in layer(
            f"depth_head.scratch.refinenet{{i}}.resConfUnit_depth.{2 * j}",
            f"{_UNIT}/{name}",
            "conv",
        )
    ),
    # Its network normalises pictures itself.
    Constant("_mean", "encoder/cls_token", _buffer(IMAGENET_MEAN)),
    Constant("_std", "encoder/cls_token", _buffer(IMAGENET_STD)),
)
TRANSFORMERS = (
    *depth_anything.TABLES["transformers", True],
    *(
        rule
        for j in range(4)
        for rule in layer(
            f"neck.fusion_stage.layers.{j}.prompt_depth_layer.convolution{{c}}",
            f"head/refinenet_{4 - j}/prompt/conv{{c}}",
            "conv",
        )
    ),
)
