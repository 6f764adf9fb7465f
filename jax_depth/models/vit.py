"""DINOv2 vision transformer: pixels -> tokens -> the maps the head taps.

    patch embedding    14x14 convolution, stride 14
    + cls token, + position embedding resized to the grid, + register tokens
    depth x block      pre-norm attention and MLP, LayerScale
    final LayerNorm    applied to every tapped block, not only the last

Upstream: facebookresearch/dinov2 `dinov2/models/vision_transformer.py`
(`get_intermediate_layers` with norm=True), copied into Depth Anything V1 and V2.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import EncoderConfig
from jax_depth.models.layers import Block, Conv, LayerNorm
from jax_depth.models.resize import resize_bicubic
from jax_depth.models.symbolic import as_float, is_symbolic

_zeros = nn.initializers.zeros_init()


class VisionTransformer(nn.Module):
    """The encoder; parameters as in the module's docstring, names as upstream."""

    config: EncoderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "b h w 3"]
    ) -> tuple[tuple[Float32[Array, "b ph pw d"], ...], dict[str, Array]]:
        """Return the tapped maps and every named intermediate.

        Args:
            pixels: normalised RGB; h and w multiples of the patch size.

        Returns:
            One map per tap, after the final LayerNorm, special tokens dropped; and
            a dict: "embedding" and "block_0", ... hold tokens (b, n, d) in the
            order cls, registers, patches; "tokens" is the last block after the
            final LayerNorm; "cls", "registers" and "patches" are its parts, with
            shapes (b, d), (b, r, d) and (b, ph, pw, d). Under `scan` only the
            blocks that end a segment are named.
        """
        config = self.config
        b, h, w, _ = pixels.shape
        grid = h // config.patch_size, w // config.patch_size
        x = self._embed(pixels, grid)
        named = {"embedding": x}
        for start, stop in _segments(config, self.is_initializing()):
            x = self._run_blocks(x, start, stop)
            named[f"block_{stop - 1}"] = x

        norm = LayerNorm(config.norm_epsilon, name="norm")
        special = 1 + config.registers
        tokens = norm(x)
        patches = tokens[:, special:].reshape(b, *grid, config.width)
        maps = tuple(
            norm(named[f"block_{tap}"])[:, special:].reshape(b, *grid, config.width)
            for tap in config.taps
        )
        named |= {"tokens": tokens, "cls": tokens[:, 0], "patches": patches}
        named["registers"] = tokens[:, 1:special]
        return maps, named

    def _embed(self, pixels, grid: tuple[int, int]) -> Float32[Array, "b n d"]:
        config = self.config
        d, side = config.width, config.position_grid
        cls_token = self.param("cls_token", _zeros, (1, 1, d))
        position = self.param("pos_embed", _zeros, (1, 1 + side * side, d))
        if config.mask_token:
            # Masked patches of DINOv2's own training; unused here, kept so that a
            # checkpoint returns to PyTorch complete.
            self.param("mask_token", _zeros, (1, d))

        patch = Conv(
            d,
            config.patch_size,
            config.patch_size,
            dtype=self.dtype,
            name="patch_embed",
        )
        b = pixels.shape[0]
        x = patch(pixels).reshape(b, grid[0] * grid[1], d)
        position = position.astype(jnp.float32)
        x = x + resize_positions(position[:, 1:], grid, config).reshape(1, -1, d)
        first = cls_token.astype(jnp.float32) + position[:, :1]
        parts = [jnp.broadcast_to(first, (b, 1, d)), x]
        if config.registers:
            shape = (1, config.registers, d)
            registers = self.param("register_tokens", _zeros, shape)
            # After the position embedding: registers have no place in the picture.
            registers = registers.astype(jnp.float32)
            parts.insert(1, jnp.broadcast_to(registers, (b, *shape[1:])))
        return jnp.concatenate(parts, axis=1)

    def _run_blocks(self, x, start: int, stop: int) -> Float32[Array, "b n d"]:
        config = self.config
        block = nn.remat(Block) if config.remat else Block
        kwargs = {
            "heads": config.heads,
            "mlp": config.mlp,
            "mlp_hidden": config.mlp_hidden,
            "attention": config.attention,
            "dtype": self.dtype,
            "remat": config.remat,
        }
        if stop - start == 1:
            return block(**kwargs, name=f"block_{start}")(x)

        # Parameters stay one subtree per block whatever the execution; stacking
        # them here costs one copy of the segment's weights.
        blocks = [self.variables["params"][f"block_{i}"] for i in range(start, stop)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
        module: Any = block(**kwargs, parent=None)

        def step(x, params):
            return module.apply({"params": params}, x), None

        return jax.lax.scan(step, x, stacked)[0]


def _segments(config: EncoderConfig, initializing: bool) -> list[tuple[int, int]]:
    """Return [start, stop) runs of blocks executed together."""
    if not config.scan or initializing:
        return [(i, i + 1) for i in range(config.depth)]
    stops = sorted({*(tap + 1 for tap in config.taps), config.depth})
    return list(zip([0, *stops[:-1]], stops, strict=True))


def resize_positions(
    position: Float32[Array, "1 g d"], grid: tuple[int, int], config: EncoderConfig
) -> Float32[Array, "1 ph pw d"]:
    """Resize the trained square grid of position embeddings to `grid`.

    Upstream: `interpolate_pos_encoding`; the resize is skipped only when the grid
    is the trained one, so a 37-row map of another width is resampled in both axes.
    """
    side = config.position_grid
    square = position.reshape(1, side, side, -1)
    if grid == (side, side):
        return square
    offset: Any = config.position_offset
    if offset and is_symbolic(*grid):
        # Decided when it runs; without offset the same size is resized to itself.
        trained = (as_float(grid[0]) == side) & (as_float(grid[1]) == side)
        offset = jnp.where(trained, 0.0, offset)
    return resize_bicubic(
        square,
        grid,
        offset=offset,
        antialias=config.position_antialias,
    )
