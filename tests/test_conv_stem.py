"""Convolutional stem: folded batch normalisation and TensorFlow's padding."""

import math

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from project_scripts import load_script

from jax_depth import MODELS, checkpoint
from jax_depth.models.conv_stem import BLOCKS, ConvStem, pad_same

convert_stem = load_script("tiny/convert_stem")


def random_state(seed: int) -> dict[str, torch.Tensor]:
    """Return a float64 state dict with upstream's names and live activations."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    state = {}

    def layer(conv, norm, shape):
        fan_in = math.prod(shape[1:])
        state[f"{conv}.weight"] = normal(*shape) * (2 / fan_in) ** 0.5
        state[f"{norm}.weight"] = 1 + 0.2 * normal(shape[0])
        state[f"{norm}.bias"] = 0.5 + 0.2 * normal(shape[0])
        state[f"{norm}.running_mean"] = 0.2 * normal(shape[0])
        state[f"{norm}.running_var"] = 0.5 + normal(shape[0]).abs()

    layer("_conv_stem", "_bn0", (32, 3, 3, 3))
    c = 32
    for i, spec in enumerate(BLOCKS):
        block, hidden, k = f"_blocks.{i}", c * spec.expand, spec.kernel_size
        if spec.expand != 1:
            layer(f"{block}._expand_conv", f"{block}._bn0", (hidden, c, 1, 1))
        layer(f"{block}._depthwise_conv", f"{block}._bn1", (hidden, 1, k, k))
        layer(f"{block}._project_conv", f"{block}._bn2", (spec.channels, hidden, 1, 1))
        c = spec.channels
    return state


def reference(state, x: torch.Tensor) -> list[torch.Tensor]:
    """The network as `efficientnet_lite_pytorch/model.py` has it, NCHW."""

    def conv_norm(x, conv, norm, stride=1, groups=1):
        weight = state[f"{conv}.weight"]
        pads = []
        for size in (x.shape[3], x.shape[2]):  # F.pad begins with the last axis
            out = math.ceil(size / stride)
            total = max((out - 1) * stride + weight.shape[-1] - size, 0)
            pads += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{norm}.{n}"] for n in names), eps=1e-3)

    x = F.relu6(conv_norm(x, "_conv_stem", "_bn0", stride=2))
    outputs = []
    for i, spec in enumerate(BLOCKS):
        block, y = f"_blocks.{i}", x
        if spec.expand != 1:
            y = F.relu6(conv_norm(y, f"{block}._expand_conv", f"{block}._bn0"))
        names = f"{block}._depthwise_conv", f"{block}._bn1"
        y = F.relu6(conv_norm(y, *names, stride=spec.stride, groups=y.shape[1]))
        y = conv_norm(y, f"{block}._project_conv", f"{block}._bn2")
        x = x + y if spec.stride == 1 and y.shape[1] == x.shape[1] else y
        if i in (2, 4, 10):
            outputs.append(x)
    return outputs


# Even and odd: TensorFlow's padding is one-sided on even sizes with stride 2.
@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 96), (47, 33)])
def test_folded_stem_equals_the_network_with_batch_normalisation(size):
    state = random_state(0)
    params = convert_stem.convert({k: v.numpy() for k, v in state.items()})
    pixels = np.random.default_rng(1).normal(size=(2, *size, 3))
    with torch.no_grad():
        want = reference(state, torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
    apply = jax.jit(ConvStem().apply)
    got = apply({"params": params}, pixels.astype(np.float32))
    for i, (stride, channels) in enumerate(((4, 24), (8, 40), (16, 112))):
        expected = want[i].numpy().transpose(0, 2, 3, 1)
        rows, columns = (math.ceil(s / stride) for s in size)
        assert got[i].shape == (2, rows, columns, channels)
        assert expected.std() > 0.1
        error = np.abs(got[i] - expected).max() / expected.std()
        assert error < 5e-5, f"stride {stride}: {error}"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "want"),
    [(8, 3, 2, (0, 1)), (9, 3, 2, (1, 1)), (8, 5, 2, (1, 2)), (8, 5, 1, (2, 2))],
)
def test_padding_is_tensorflows(size, kernel, stride, want):
    x = np.ones((1, size, size, 1), np.float32)
    rows = np.asarray(pad_same(x, kernel, stride)).max((0, 2, 3))
    np.testing.assert_array_equal(rows, np.pad(np.ones(size), want))


def test_conversion_leaves_out_the_later_blocks_and_the_classifier():
    state = {k: v.numpy() for k, v in random_state(0).items()}
    extra = {"_fc.weight": np.zeros((1000, 1280)), "_blocks.11._bn0.bias": np.zeros(3)}
    params = convert_stem.convert(state | extra)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == 692_688
    assert set(params) == {"conv", *(f"block_{i}" for i in range(11))}


@pytest.mark.slow
def test_a_run_starts_from_the_stem_and_random_numbers(tmp_path):
    stem = convert_stem.convert({k: v.numpy() for k, v in random_state(0).items()})
    checkpoint.save(tmp_path / "start", convert_stem.start(stem), MODELS["tiny"].config)
    params, _ = checkpoint.load(tmp_path / "start")
    for name, leaf in checkpoint.flatten(stem).items():
        found = checkpoint.flatten(params["encoder"]["stem"])[name]
        np.testing.assert_array_equal(found, leaf)
    # Maps of the stem are eight times as large as the transformer's.
    head = params["head"]
    ratio = head["project_2"]["kernel"].std() * 192**0.5
    ratio /= head["project_0"]["kernel"].std() * 24**0.5
    assert 6 < ratio < 10
