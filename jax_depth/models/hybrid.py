"""Hybrid encoder of the bundled model: convolutional stem, then a small ViT.

The idea of DPT-Hybrid (Ranftl et al. 2021, arXiv:2103.13413): the fine levels of
the head come from convolutions, the coarse ones from a transformer that sees the
whole picture. Here the stem is EfficientNet-Lite0 and there is no cls token.

A small transformer knows the layout of a room best at the size that it was trained at,
while edges need a fine grid. So it can see a reduced copy of large pictures
(`HybridConfig.coarse_size`), whose maps the head merges with the full picture's.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import HybridConfig
from jax_depth.models.conv_stem import ConvStem
from jax_depth.models.grid import token_grid
from jax_depth.models.layers import Block, Dense, LayerNorm
from jax_depth.models.resize import resize_bicubic


class HybridEncoder(nn.Module):
    """Stem and transformer; the parameters are named in the order they run."""

    config: HybridConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "b h w 3"]
    ) -> tuple[tuple[Float32[Array, "b _ _ _"], ...], dict[str, Array]]:
        """Return the head's maps, finest first, and every named intermediate.

        Args:
            pixels: normalised RGB; h and w multiples of 16.

        Returns:
            The stem's maps at strides 4 and 8, then each tapped block at stride 16 of
            what the transformer sees, after the final LayerNorm (b, ph, pw, d); and a
            dict: "stem_4", "stem_8", "stem_16" (b, h', w', c), "embedding", "block_0",
            ... and "tokens" (b, n, d), "patches" (b, ph, pw, d).
        """
        config = self.config
        stem = ConvStem(self.dtype, name="stem")
        b, h, w, _ = pixels.shape
        ph, pw = token_grid(config, (h, w))
        small = config.patch_size * ph, config.patch_size * pw
        if small == (h, w):
            fine, middle, coarse = stem(pixels)
        else:
            reduced = resize_bicubic(pixels, small, antialias=True)
            *_, coarse = stem(reduced)
            fine, middle = stem(pixels, 2)
        named = {"stem_4": fine, "stem_8": middle, "stem_16": coarse}

        side, d = config.position_grid, config.width
        init = nn.initializers.normal(0.02)
        position = self.param("pos_embed", init, (1, side * side, d))
        square = position.reshape(1, side, side, d)
        x = Dense(d, self.dtype, name="proj")(coarse) + resize_bicubic(square, (ph, pw))
        x = named["embedding"] = x.reshape(b, ph * pw, d)

        block = nn.remat(Block) if config.remat else Block
        for i in range(config.depth):
            name = f"block_{i}"
            x = block(
                config.heads,
                "gelu",
                config.mlp_hidden,
                dtype=self.dtype,
                remat=config.remat,
                name=name,
            )(x)
            named[name] = x

        norm = LayerNorm(name="norm")
        taps = [norm(named[f"block_{tap}"]) for tap in config.taps]
        maps = (fine, middle, *(tap.reshape(b, ph, pw, d) for tap in taps))
        named["tokens"] = norm(x)
        named["patches"] = named["tokens"].reshape(b, ph, pw, d)
        return maps, named
