"""DPT head of Depth Anything 3's any-view models: depth and rays, with confidences.

    LayerNorm of the taps, one for all four
    reassemble    as DPT, with a place embedding after each projection
    fusion        two chains over the same levels, one for depth and one for rays
    depth         3x3, resize to the picture, place embedding, 3x3 ReLU 1x1
    rays          five 3x3, place embedding, 3x3 LayerNorm ReLU 1x1, at the chain's size

Upstream: ByteDance-Seed/Depth-Anything-3 `model/dualdpt.py` and
`model/utils/head_utils.py`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import HeadConfig
from jax_depth.models.dpt import fuse, reassemble, to_level
from jax_depth.models.layers import Conv, LayerNorm
from jax_depth.models.resize import resize_bilinear
from jax_depth.models.symbolic import as_float

_LEVELS = 4
# Frequencies of the place embedding, and what it is multiplied by.
_BASE, _GAIN = 100.0, 0.1


class DualDPTHead(nn.Module):
    """The head; returns the maps before their activations."""

    config: HeadConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, maps: tuple[Float[Array, "b _ _ _"], ...], size: tuple[int, int]
    ) -> tuple[Float32[Array, "b h w"], dict[str, Array]]:
        """Return the logarithm of depth, and every named intermediate.

        Args:
            maps, size: as in `dpt.DPTHead`.

        Returns:
            raw (b, h, w); the names of `dpt.DPTHead`; "confidence_raw" (b, h, w); of
            the ray chain "path_4_aux" .. "path_1_aux", "output_1_aux" and "rays_raw"
            (b, 8 ph, 8 pw, 7): direction, origin and confidence.
        """
        config, dtype = self.config, self.dtype

        def embed(x):
            return x + place_embedding(_grid(x), x.shape[-1], size)[None]

        norm = LayerNorm(1e-5, name="norm")
        levels = []
        for i, x in enumerate(maps):
            x = reassemble(i, norm(x), config, dtype, embed)
            levels.append(to_level(i, x, config, dtype))
        path, named = fuse(levels, dtype, dead_unit=False)
        rays, ray_paths = fuse(levels, dtype, "_aux", dead_unit=False)
        named |= ray_paths

        c = config.features // 2
        conv = Conv(c, 3, padding=1, dtype=dtype, name="output_conv1")
        named["output_1"] = conv(path)
        x = embed(resize_bilinear(named["output_1"], size, dtype))
        c = config.output_channels
        conv = Conv(c, 3, padding=1, dtype=dtype, name="output_conv2")
        named["output_2"] = x = jax.nn.relu(conv(x))
        # float32 whatever `dtype`, as in `dpt.last_layers`.
        x = Conv(2, 1, name="output_conv3")(x)
        named["confidence_raw"] = x[..., 1]

        ray_output = RayOutput(config, dtype, name="rays")
        named["output_1_aux"], named["rays_raw"] = ray_output(rays, size)
        return x[..., 0], named


class RayOutput(nn.Module):
    """The last convolutions of the ray chain.

    Upstream keeps a set for each of the four levels and uses the finest's only; the
    other three are created for the way back to PyTorch. Their LayerNorm is one.
    """

    config: HeadConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, path: Float[Array, "b h w c"], size: tuple[int, int]
    ) -> tuple[Float32[Array, "b h w _"], Float32[Array, "b h w 7"]]:
        features, hidden = self.config.features, self.config.output_channels
        norm = LayerNorm(1e-5, name="norm")
        y = raw = None
        for level in range(_LEVELS):
            if level < _LEVELS - 1 and not self.is_initializing():
                continue
            y = path
            for i in range(5):
                width = features if i % 2 else features // 2
                name = f"level_{level}_conv{i}"
                y = Conv(width, 3, padding=1, dtype=self.dtype, name=name)(y)
            x = y + place_embedding(_grid(y), y.shape[-1], size)[None]
            name = f"level_{level}_hidden"
            x = Conv(hidden, 3, padding=1, dtype=self.dtype, name=name)(x)
            raw = Conv(7, 1, name=f"level_{level}_output")(jax.nn.relu(norm(x)))
        assert y is not None and raw is not None
        return y, raw


def _grid(x: Array) -> tuple[int, int]:
    return x.shape[1], x.shape[2]


def place_embedding(
    grid: tuple[int, int], channels: int, size: tuple[int, int]
) -> Float32[Array, "ph pw c"]:
    """Return sines and cosines of where in the picture each cell lies, times 0.1.

    The picture's corners lie at distance 1 from its centre.

    Args:
        grid: (rows, columns) of the map; may be symbolic.
        channels: of the map, a multiple of 4: a quarter each for the sine and cosine
            of x, then of y.
        size: (h, w) of the picture, whose aspect counts.
    """
    rows, columns = as_float(grid[0]), as_float(grid[1])
    aspect = as_float(size[1]) / as_float(size[0])
    diagonal = jnp.sqrt(aspect * aspect + 1)
    frequencies = _BASE ** -(
        jnp.arange(channels // 4, dtype=jnp.float32) / (channels // 4)
    )

    def waves(count, n, span):
        # Centres of n cells of a line from -span to span.
        position = (2 * jnp.arange(count, dtype=jnp.float32) + 1 - n) / n * span
        angles = position[:, None] * frequencies[None]
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)

    x = waves(grid[1], columns, aspect / diagonal)
    y = waves(grid[0], rows, 1 / diagonal)
    shape = (*grid, channels // 2)
    parts = [jnp.broadcast_to(x[None], shape), jnp.broadcast_to(y[:, None], shape)]
    return _GAIN * jnp.concatenate(parts, -1)
