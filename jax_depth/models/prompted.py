"""Prompt Depth Anything: a picture and a coarse metric depth map -> metric depth.

    prompt         brought to 0..1 by its own least and largest value
    fusion blocks  as in DPT, and each adds a convolved copy of the prompt
    output         sigmoid, brought back to the prompt's range

So the result has the prompt's unit and never leaves its range. Upstream:
DepthAnything/PromptDA `promptda/promptda.py` and `promptda/model/dpt.py`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import HeadConfig, ModelConfig
from jax_depth.models import architectures
from jax_depth.models.dpt import (
    last_layers,
    lift,
    merge,
    next_size,
    reassemble,
    to_level,
)
from jax_depth.models.layers import Conv
from jax_depth.models.output import Output
from jax_depth.models.resize import resize_half_pixel


class PromptUnit(nn.Module):
    """What a prompt adds to one level: three convolutions, the last zero at first."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 1"]) -> Float32[Array, "b h w c"]:
        for name in ("conv1", "conv2"):
            conv = Conv(self.features, 3, padding=1, dtype=self.dtype, name=name)
            x = jax.nn.relu(conv(x))
        return Conv(self.features, 3, padding=1, dtype=self.dtype, name="conv3")(x)


class PromptFusionBlock(nn.Module):
    """A fusion block of DPT that sees the prompt before it resizes."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        path: Float[Array, "b h w c"] | None,
        level: Float[Array, "b h w c"],
        size: tuple[int, int],
        prompt: Float[Array, "b h3 w3 1"],
    ) -> Float32[Array, "b h2 w2 c"]:
        x = merge(path, level, self.dtype)
        unit = PromptUnit(x.shape[-1], self.dtype, name="prompt")
        x = x + unit(resize_half_pixel(prompt, x.shape[1:3]))
        return lift(x, size, self.dtype)


class PromptHead(nn.Module):
    """DPT's head with the prompt in every fusion block."""

    config: HeadConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        maps: tuple[Float[Array, "b _ _ _"], ...],
        size: tuple[int, int],
        prompt: Float[Array, "b h2 w2 1"],
    ) -> tuple[Float32[Array, "b h w"], dict[str, Array]]:
        """Return the raw map at `size` and every intermediate, as `dpt.DPTHead` does.

        Args:
            maps, size: as there.
            prompt: within 0..1, at its own size.
        """
        config, dtype = self.config, self.dtype
        levels = [
            to_level(i, reassemble(i, x, config, dtype), config, dtype)
            for i, x in enumerate(maps)
        ]
        named = {f"level_{i + 1}": level for i, level in enumerate(levels)}
        path = None
        for i in (3, 2, 1, 0):
            block = PromptFusionBlock(dtype, name=f"refinenet_{i + 1}")
            path = block(path, levels[i], next_size(levels, i), prompt)
            named[f"path_{i + 1}"] = path
        raw, outputs = last_layers(path, size, config, dtype)
        return raw, named | outputs


class PromptDepthAnything(nn.Module):
    """Encoder and head; see `jax_depth.apply`, the usual way in."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "b h w 3"], prompt: Float[Array, "b h2 w2"]
    ) -> Float32[Array, "b h w"]:
        """Return depth in the prompt's unit."""
        return self.run(pixels, prompt)[0].depth

    @nn.compact
    def run(
        self, pixels: Float[Array, "b h w 3"], prompt: Float[Array, "b h2 w2"]
    ) -> tuple[Output, dict[str, Array]]:
        """Return the output and all stages.

        Args:
            pixels: normalised RGB.
            prompt: coarse depth of any size and unit, finite everywhere. One value
                everywhere is returned as it is.
        """
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        assert config.head is not None
        maps, named = architectures.encoder(config, dtype, name="encoder")(pixels)
        named |= {f"tap_{i}": x for i, x in enumerate(maps)}
        prompt = prompt.astype(jnp.float32)
        low, span = _range(prompt)
        # Upstream divides 0 by 0 where all values are one.
        inside = (prompt - low) / jnp.where(span > 0, span, jnp.float32(1))
        size = pixels.shape[1], pixels.shape[2]
        head = PromptHead(config.head, dtype, name="head")
        raw, stages = head(maps, size, inside[..., None])
        return Output(in_range(raw, prompt)), named | stages | {"raw": raw}


def in_range(
    raw: Float32[Array, "b h w"], prompt: Float32[Array, "b h2 w2"]
) -> Float32[Array, "b h w"]:
    """Return depth in the prompt's range from the output before its activation."""
    low, span = _range(prompt)
    return jax.nn.sigmoid(raw) * span + low


def _range(prompt):
    low = prompt.min((1, 2), keepdims=True)
    return low, prompt.max((1, 2), keepdims=True) - low
