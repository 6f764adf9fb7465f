"""DPT head of Depth Anything 3 mono and metric: depth, and how much of it is sky.

Upstream: ByteDance-Seed/Depth-Anything-3 `model/dpt.py`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import HeadConfig, ModelConfig
from jax_depth.models import architectures
from jax_depth.models.depth_anything import activate
from jax_depth.models.dpt import fuse, reassemble, to_level
from jax_depth.models.layers import Conv
from jax_depth.models.output import Output
from jax_depth.models.resize import resize_bilinear


class SkyDPTHead(nn.Module):
    """V2's head without its dead unit, and a second pair of last convolutions."""

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
            raw (b, h, w); the names of `dpt.DPTHead` and "sky_raw" (b, h, w), which a
            ReLU turns into the sky map.
        """
        config, dtype = self.config, self.dtype
        levels = [
            to_level(i, reassemble(i, x, config, dtype), config, dtype)
            for i, x in enumerate(maps)
        ]
        path, named = fuse(levels, dtype, dead_unit=False)
        c = config.features // 2
        conv = Conv(c, 3, padding=1, dtype=dtype, name="output_conv1")
        named["output_1"] = conv(path)
        x = resize_bilinear(named["output_1"], size, dtype)

        def last(name: str) -> tuple[Array, Array]:
            c = config.output_channels
            conv = Conv(c, 3, padding=1, dtype=dtype, name=f"{name}2")
            y = jax.nn.relu(conv(x))
            # float32 whatever `dtype`, as in `dpt.last_layers`.
            return y, Conv(1, 1, name=f"{name}3")(y)[..., 0]

        named["output_2"], raw = last("output_conv")
        _, named["sky_raw"] = last("sky_output_conv")
        return raw, named


class SkyDepthAnything(nn.Module):
    """Encoder and head; see `jax_depth.apply`, the usual way in."""

    config: ModelConfig

    @nn.compact
    def __call__(self, pixels: Float[Array, "b h w 3"]) -> Float32[Array, "b h w"]:
        """Return depth; see `forward`."""
        return self.run(pixels)[0].depth

    @nn.compact
    def run(self, pixels: Float[Array, "b h w 3"]) -> tuple[Output, dict[str, Array]]:
        """Return the output and all stages."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        assert config.head is not None
        maps, named = architectures.encoder(config, dtype, name="encoder")(pixels)
        named |= {f"tap_{i}": x for i, x in enumerate(maps)}
        size = pixels.shape[1], pixels.shape[2]
        raw, stages = SkyDPTHead(config.head, dtype, name="head")(maps, size)
        sky = jax.nn.relu(stages["sky_raw"])
        output = Output(activate(raw, config), sky=sky)
        return output, named | stages | {"raw": raw}
