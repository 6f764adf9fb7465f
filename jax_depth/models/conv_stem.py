"""Convolutional stem of the bundled hybrid: pixels -> maps at strides 4, 8 and 16.

The first eleven blocks of EfficientNet-Lite0, which is EfficientNet-B0 (Tan and Le
2019, arXiv:1905.11946) without squeeze-excite and with ReLU6. Batch normalisation
is folded into each convolution's kernel and bias when the weights are converted
(scripts/tiny/convert_stem.py), so there is none here.

Upstream: tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py, and its
PyTorch port on PyPI, `efficientnet_lite_pytorch/model.py`.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.models.layers import Conv

_zeros = nn.initializers.zeros_init()


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """One inverted residual block: expand by `expand`, depthwise, project."""

    kernel_size: int
    stride: int
    expand: int
    channels: int


STEM_CHANNELS = 32
# Upstream strings r1_k3_s11_e1_i32_o16, r2_k3_s22_e6_i16_o24, r2_k5_s22_e6_i24_o40,
# r3_k3_s22_e6_i40_o80, r3_k5_s11_e6_i80_o112, repeats written out.
BLOCKS = (
    BlockSpec(3, 1, 1, 16),
    BlockSpec(3, 2, 6, 24),
    BlockSpec(3, 1, 6, 24),
    BlockSpec(5, 2, 6, 40),
    BlockSpec(5, 1, 6, 40),
    BlockSpec(3, 2, 6, 80),
    BlockSpec(3, 1, 6, 80),
    BlockSpec(3, 1, 6, 80),
    BlockSpec(5, 1, 6, 112),
    BlockSpec(5, 1, 6, 112),
    BlockSpec(5, 1, 6, 112),
)
# Last block at each stride the head or the transformer reads: 4, 8, 16.
OUTPUT_BLOCKS = (2, 4, 10)


class ConvStem(nn.Module):
    """EfficientNet-Lite0, blocks 0 to 10, batch normalisation folded."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "b h w 3"], count: int = 3
    ) -> tuple[Float32[Array, "b _ _ _"], ...]:
        """Return the first `count` maps: strides 4 (24 channels), 8 (40), 16 (112).

        Args:
            pixels: RGB in [0, 1] normalised with mean 127/255 and standard
                deviation 128/255; any size, a map has ceil(size / stride) rows.
            count: blocks that no returned map needs are left out.
        """
        x = pad_same(pixels, 3, 2)
        x = _relu6(Conv(STEM_CHANNELS, 3, 2, dtype=self.dtype, name="conv")(x))
        outputs = []
        for i, spec in enumerate(BLOCKS[: OUTPUT_BLOCKS[count - 1] + 1]):
            x = InvertedResidual(spec, self.dtype, name=f"block_{i}")(x)
            if i in OUTPUT_BLOCKS:
                outputs.append(x)
        return tuple(outputs)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise, project 1x1; a skip where the shape allows one."""

    spec: BlockSpec
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float32[Array, "b h2 w2 o"]:
        spec, c = self.spec, x.shape[-1]
        y = x
        if spec.expand != 1:
            y = _relu6(Conv(c * spec.expand, 1, dtype=self.dtype, name="expand")(y))
        y = DepthwiseConv(spec.kernel_size, spec.stride, name="depthwise")(y)
        y = Conv(spec.channels, 1, dtype=self.dtype, name="project")(_relu6(y))
        return x + y if spec.stride == 1 and spec.channels == c else y


class DepthwiseConv(nn.Module):
    """Depthwise convolution with TensorFlow's "SAME" padding; kernel (k, k, 1, c).

    Written as a sum of k x k shifted products in float32, which every backend fuses
    into one loop. On CPU XLA's grouped convolution is 5 to 30 times slower.
    """

    kernel_size: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float32[Array, "b h2 w2 c"]:
        k, s, (b, h, w, c) = self.kernel_size, self.stride, x.shape
        kernel = self.param("kernel", _zeros, (k, k, 1, c)).astype(jnp.float32)
        bias = self.param("bias", _zeros, (c,)).astype(jnp.float32)
        rows, columns = -(-h // s), -(-w // s)
        x = pad_same(x.astype(jnp.float32), k, s)
        y = jnp.broadcast_to(bias[None, None, None, :], (b, rows, columns, c))
        for i in range(k):
            for j in range(k):
                stop = i + (rows - 1) * s + 1, j + (columns - 1) * s + 1
                shifted = jax.lax.slice(x, (0, i, j, 0), (b, *stop, c), (1, s, s, 1))
                y = y + shifted * kernel[None, i : i + 1, j]
        return y


def pad_same(
    x: Float[Array, "b h w c"], kernel_size: int, stride: int
) -> Float[Array, "b h2 w2 c"]:
    """Zero-pad as TensorFlow's "SAME": the odd row and column go to the end."""
    pads = []
    for size in x.shape[1:3]:
        total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
        pads.append((total // 2, total - total // 2))
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _relu6(x: Array) -> Array:
    return jnp.clip(x, 0.0, 6.0)
