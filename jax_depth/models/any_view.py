"""Encoder of Depth Anything 3: a DINOv2 whose late blocks look at several views.

    blocks 0 .. start - 1   DINOv2, each view alone
    block start - 1         before it the reference view is moved to the front
    block start             before it every class token becomes a camera token
    blocks start ..         q and k normalised and rotated; odd blocks attend over
                            the tokens of all views, even ones over one view
    taps                    [last block of one view | this block], the second half
                            after the final LayerNorm

Upstream: ByteDance-Seed/Depth-Anything-3 `model/dinov2/vision_transformer.py`
(`_get_intermediate_layers_not_chunked`, `get_intermediate_layers`).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import AnyViewConfig
from jax_depth.models import reference_view
from jax_depth.models.layers import Block, LayerNorm
from jax_depth.models.reference_view import Reference
from jax_depth.models.rope import global_rope, local_rope
from jax_depth.models.vit import VisionTransformer

_zeros = nn.initializers.zeros_init()


class AnyViewTransformer(VisionTransformer):
    """The encoder; parameters as DINOv2's, and a camera token.

    Attributes:
        axis: of a mesh that shares out the views, inside `jax.shard_map`; see
            `sharded_views`. `v` below counts those of one device then.
    """

    axis: str | None = None

    @nn.compact
    def __call__(
        self,
        pixels: Float[Array, "b v h w 3"],
        camera_tokens: Float32[Array, "b v d"] | None = None,
        reference: Reference = "saddle_balanced",
    ) -> tuple[tuple[Float32[Array, "b v ph pw e"], ...], dict[str, Array]]:
        """Return the tapped maps and every named intermediate, views in their order.

        Args:
            pixels: normalised RGB; h and w multiples of the patch size.
            camera_tokens: what known cameras become, see `camera_head.CameraEncoder`;
                the first view is the reference then.
            reference: how it is chosen among three views or more otherwise.

        Returns:
            One map per tap with twice the width, special tokens dropped; and a dict:
            "embedding" and "block_0", ... hold tokens (b, v, n, d), the class or
            camera token first; "tokens" is the last block after the final
            LayerNorm, "cls" (b, v, d) and "patches" (b, v, ph, pw, d) are its parts;
            "camera_0", ... (b, v, 2 d), the camera token of each tap before any
            norm; "reference" (b,), the chosen view.
        """
        config = self.config
        assert isinstance(config, AnyViewConfig)
        b, v, h, w, _ = pixels.shape
        d, start = config.width, config.start
        grid = h // config.patch_size, w // config.patch_size
        patches = grid[0] * grid[1]
        x = self._embed(pixels.reshape(b * v, h, w, 3), grid)
        x = x.reshape(b, v, 1 + patches, d)

        head_width = d // config.heads
        local = local_rope(grid, head_width, config.rope_base)
        across = global_rope(patches, v, head_width, config.rope_base)
        tokens = self.param("camera_token", _zeros, (1, 2, d)).astype(jnp.float32)
        views = v if self.axis is None else v * jax.lax.axis_size(self.axis)
        chosen = jnp.zeros(b, jnp.int32)
        restore = None  # the order that undoes the reference's move

        named = {"embedding": x}
        own = x  # of the last block in which each view was alone
        pairs: dict[int, Array] = {}
        for i in range(config.depth):
            choosing = views >= reference_view.MIN_VIEWS and camera_tokens is None
            if i == start - 1 and choosing and self.axis is not None:
                # Nothing moves: attention over all views knows no order.
                heads = jax.lax.all_gather(x[:, :, 0], self.axis, axis=1, tiled=True)
                chosen = reference_view.select_reference(heads, reference)
            elif i == start - 1 and choosing:
                chosen = reference_view.select_reference(x[:, :, 0], reference)
                order = reference_view.reference_first(chosen, v)
                restore = reference_view.as_given(chosen, v)
                x = reference_view.reorder(x, order)
            if i == start:
                if self.axis is not None and camera_tokens is None:
                    camera_tokens = self._shared_out(tokens, chosen, v)
                x = _with_camera(x, tokens, camera_tokens)
                own = x
            rope = None
            if i >= start:
                rope = across if i % 2 else local
            if i >= start and i % 2:
                flat = x.reshape(b, v * (1 + patches), d)
            else:
                flat = x.reshape(b * v, 1 + patches, d)
            gather = self.axis if i >= start and i % 2 else None
            block = self._block(i, i >= start, gather)
            x = block(flat, rope).reshape(x.shape)
            if i < start or i % 2 == 0:
                own = x
            named[f"block_{i}"] = _in_order(x, restore)
            if i in config.taps:
                pairs[i] = _in_order(jnp.concatenate([own, x], -1), restore)

        norm = LayerNorm(config.norm_epsilon, name="norm")
        maps = []
        for tap, i in enumerate(config.taps):
            named[f"camera_{tap}"] = pairs[i][:, :, 0]
            one, other = pairs[i][:, :, 1:, :d], pairs[i][:, :, 1:, d:]
            # Upstream normalises the second half only, and its weights are trained so.
            both = jnp.concatenate([one, norm(other)], -1)
            maps.append(both.reshape(b, v, *grid, 2 * d))
        last = norm(named[f"block_{config.depth - 1}"])
        named |= {"tokens": last, "cls": last[:, :, 0], "reference": chosen}
        named["patches"] = last[:, :, 1:].reshape(b, v, *grid, d)
        return tuple(maps), named

    def _shared_out(self, tokens, chosen, v: int) -> Float32[Array, "b v d"]:
        """Return the camera tokens of this device's views."""
        own = jax.lax.axis_index(self.axis) * v + jnp.arange(v)
        first = own[None] == chosen[:, None]
        return jnp.where(first[..., None], tokens[:, :1], tokens[:, 1:])

    def _block(self, i: int, qk_norm: bool, gather: str | None) -> Any:
        config = self.config
        block = nn.remat(Block) if config.remat else Block
        return block(
            heads=config.heads,
            mlp=config.mlp,
            mlp_hidden=config.mlp_hidden,
            attention=config.attention,
            dtype=self.dtype,
            qk_norm=qk_norm,
            gather=gather,
            name=f"block_{i}",
        )


def _with_camera(x, tokens, camera_tokens):
    """Overwrite the class token of every view.

    Without known cameras the first view gets one token and all others the second.
    """
    b, v, _, d = x.shape
    if camera_tokens is None:
        others = jnp.broadcast_to(tokens[:, 1:], (b, v - 1, d))
        first = jnp.broadcast_to(tokens[:, :1], (b, 1, d))
        camera_tokens = jnp.concatenate([first, others], 1)
    return jnp.concatenate([camera_tokens[:, :, None], x[:, :, 1:]], 2)


def _in_order(x, restore):
    return x if restore is None else reference_view.reorder(x, restore)
