"""DPT head: four maps of the encoder -> one dense map.

    reassemble    1x1 projection, then a resize of each tap to strides 4, 8, 16, 32
                  (of a 16-pixel patch; for 14-pixel patches the same factors)
    layer_rn      3x3 to a common width, no bias
    fusion 4..1   add, residual conv unit, 1x1, resize to the next level
    output        3x3, resize to the picture, 3x3 ReLU 1x1

Upstream: DepthAnything/Depth-Anything-V2 `depth_anything_v2/dpt.py` and
`util/blocks.py`; the activation after the last convolution belongs to the model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import HeadConfig
from jax_depth.models.forms import forms
from jax_depth.models.layers import Conv, UpConv
from jax_depth.models.resize import resize_bilinear


class ResidualConvUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))).

    Upstream builds it with `nn.ReLU(False)`, so the skip carries x itself; MiDaS'
    in-place ReLU would make it relu(x).
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float32[Array, "b h w c"]:
        c = x.shape[-1]
        y = Conv(c, 3, padding=1, dtype=self.dtype, name="conv1")(jax.nn.relu(x))
        y = Conv(c, 3, padding=1, dtype=self.dtype, name="conv2")(jax.nn.relu(y))
        return x + y


class FusionBlock(nn.Module):
    """Merge a coarser path into a level, then resize to the next level's size."""

    dtype: Any = jnp.float32
    dead_unit: bool = True

    @nn.compact
    def __call__(
        self,
        path: Float[Array, "b h w c"] | None,
        level: Float[Array, "b h w c"],
        size: tuple[int, int],
    ) -> Float32[Array, "b h2 w2 c"]:
        merged = merge(path, level, self.dtype, self.dead_unit)
        return lift(merged, size, self.dtype)


class DPTHead(nn.Module):
    """The head; returns the map before its final activation."""

    config: HeadConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, maps: tuple[Float[Array, "b _ _ _"], ...], size: tuple[int, int]
    ) -> tuple[Float32[Array, "b h w"], dict[str, Array]]:
        """Return the raw map at `size` and every named intermediate.

        Args:
            maps: four maps of the encoder, finest level first.
            size: (h, w) of the result, the encoder's input size.

        Returns:
            raw (b, h, w), before its activation, and a dict: "level_1" ..
            "level_4" after layer_rn, "path_4" .. "path_1" after each fusion,
            "output_1" and "output_2" (b, h', w', c) after the first two of the last
            three convolutions, the second after its ReLU.
        """
        config, dtype = self.config, self.dtype
        levels = [
            to_level(i, reassemble(i, x, config, dtype), config, dtype)
            for i, x in enumerate(maps)
        ]
        path, named = fuse(levels, dtype)
        raw, outputs = last_layers(path, size, config, dtype)
        return raw, named | outputs


# What follows makes modules in the module that calls it, so that heads which are
# composed of the same pieces name their parameters alike.


def reassemble(
    i: int,
    x: Float[Array, "b h w c"],
    config: HeadConfig,
    dtype: Any,
    embed: Callable[[Array], Array] | None = None,
) -> Float32[Array, "b h2 w2 o"]:
    """Project tap `i`, `embed` where it lies, and bring it to its level's stride."""
    channels, resize = config.channels[i], config.resize[i]
    x = Conv(channels, 1, dtype=dtype, name=f"project_{i}")(x)
    x = x if embed is None else embed(x)
    name = f"resize_{i}"
    if resize == "up4":
        return UpConv(channels, 4, dtype, name=name)(x)
    if resize == "up2":
        return UpConv(channels, 2, dtype, name=name)(x)
    if resize == "down2":
        return Conv(channels, 3, 2, 1, dtype=dtype, name=name)(x)
    return x


def to_level(
    i: int, x: Float[Array, "b h w c"], config: HeadConfig, dtype: Any
) -> Float32[Array, "b h w o"]:
    """Bring a reassembled map to the width of the fusion stages."""
    name = f"layer_{i + 1}_rn"
    features = config.features
    return Conv(features, 3, padding=1, use_bias=False, dtype=dtype, name=name)(x)


def fuse(
    levels: Sequence[Array], dtype: Any, suffix: str = "", dead_unit: bool = True
) -> tuple[Float32[Array, "b h w c"], dict[str, Array]]:
    """Return the finest path, and the levels and all paths by name.

    Args:
        levels: finest first.
        dtype: what products compute in.
        suffix: of the names of this chain's blocks and paths.
        dead_unit: see `merge`.
    """
    named = {f"level_{i + 1}": level for i, level in enumerate(levels)}
    path = None
    for i in (3, 2, 1, 0):
        block = FusionBlock(dtype, dead_unit, name=f"refinenet_{i + 1}{suffix}")
        path = block(path, levels[i], next_size(levels, i))
        named[f"path_{i + 1}{suffix}"] = path
    assert path is not None
    return path, named


def next_size(levels: Sequence[Array], i: int) -> tuple[int, int]:
    """Return (h, w) that the fusion of level `i` ends in: the next finer level's."""
    _, h, w, _ = levels[i].shape
    if not i:
        return 2 * h, 2 * w
    _, h, w, _ = levels[i - 1].shape
    return h, w


def merge(
    path: Float[Array, "b h w c"] | None,
    level: Float[Array, "b h w c"],
    dtype: Any,
    dead_unit: bool = True,
) -> Float32[Array, "b h w c"]:
    """Add a level to the coarser path: the first half of a fusion block.

    The coarsest level has nothing to merge, yet checkpoints of V1 and V2 carry its
    unit's weights; `dead_unit` creates them for the way back.
    """
    rcu1 = ResidualConvUnit(dtype, name="rcu1")
    if path is not None:
        level = path + rcu1(level)
    elif dead_unit and rcu1.is_initializing():
        rcu1(level)
    return ResidualConvUnit(dtype, name="rcu2")(level)


def lift(
    x: Float[Array, "b h w c"], size: tuple[int, int], dtype: Any
) -> Float32[Array, "b h2 w2 c"]:
    """Resize to the next level's size: the second half of a fusion block."""
    out_conv = Conv(x.shape[-1], 1, dtype=dtype, name="out_conv")
    if not forms().projected_first:
        return out_conv(resize_bilinear(x, size, dtype))
    # Upstream resizes first. A 1x1 convolution commutes with a resize whose weights
    # sum to 1, and here it meets a quarter of the positions.
    return resize_bilinear(out_conv(x), size, dtype)


def last_layers(
    path: Float[Array, "b h w c"], size: tuple[int, int], config: HeadConfig, dtype: Any
) -> tuple[Float32[Array, "b h2 w2"], dict[str, Array]]:
    """Return the raw map at `size` and the stages before it from the finest path."""
    c = config.features // 2
    first = Conv(c, 3, padding=1, dtype=dtype, name="output_conv1")(path)
    x = resize_bilinear(first, size, dtype)
    c = config.output_channels
    conv = Conv(c, 3, padding=1, dtype=dtype, name="output_conv2")
    second = jax.nn.relu(conv(x))
    # float32 whatever `dtype`: a large model's output lies around 100, where
    # bfloat16 values are 0.5 apart.
    raw = Conv(1, 1, name="output_conv3")(second)[..., 0]
    return raw, {"output_1": first, "output_2": second}
