"""Video Depth Anything: Depth Anything V2 and four modules that look along time.

    reassembled maps of levels 3 and 4     -> temporal_0, temporal_1
    paths of fusion blocks 4 and 3         -> temporal_2, temporal_3

Everything else works frame by frame, as in `dpt.py`. A module never mixes positions:
each sees its own vector in every frame of the clip. Upstream:
DepthAnything/Video-Depth-Anything `video_depth_anything/dpt_temporal.py` and
`motion_module/motion_module.py`, after AnimateDiff.

A stream, one frame after another, keeps the keys and values of earlier frames
(`video_depth_anything/video_depth_stream.py`, which keeps what they are made of).
"""

import dataclasses
import functools
from typing import Any, no_type_check

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_depth._typing import Array, Float, Float32, Int32
from jax_depth.config import ModelConfig, VideoHeadConfig
from jax_depth.models import architectures
from jax_depth.models.attention import attend
from jax_depth.models.depth_anything import activate
from jax_depth.models.dpt import (
    FusionBlock,
    last_layers,
    next_size,
    reassemble,
    to_level,
)
from jax_depth.models.layers import Dense, LayerNorm, gelu
from jax_depth.models.output import Output
from jax_depth.models.precision import einsum
from jax_depth.models.sharding import by_frame, by_position

ATTENTIONS = 2
HEADS = 8
_GROUPS = 32
# A stream imitates the windows of a file, whose second frame is this far back
# (2 * 22 - 1 - 2) where the others follow one another.
RING = 41

_zeros = nn.initializers.zeros_init()


@functools.lru_cache(maxsize=32)
def positions(frames: int, width: int) -> np.ndarray:
    """Return the sinusoidal table (frames, width), float32, sines at even channels."""
    rate = np.exp(np.arange(0, width, 2) * (-np.log(1e4) / width))
    angle = np.arange(frames)[:, None] * rate
    return (
        np.stack([np.sin(angle), np.cos(angle)], -1)
        .reshape(frames, width)
        .astype(np.float32)
    )


# The import hook leaves it alone: the same tree holds shapes and shardings.
@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """Keys and values of one attention for earlier frames, before their positions.

    Attributes:
        first: of frame 0, which stays.
        ring: of the last `RING` frames; frame i lies at i modulo `RING`. What has not
            been yet is frame 0.
    """

    first: Float32[Array, "2 b p c"]
    ring: Float32[Array, "r 2 b p c"]


@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StreamState:
    """What `stream_step` remembers; of a fixed size, however long the stream.

    Attributes:
        frame: number of the next frame.
        caches: of the eight attentions, module by module.
    """

    frame: Int32[Array, ""]
    caches: tuple[Cache, ...]


class GroupNorm(nn.Module):
    """Group normalisation of each frame, 32 groups, eps 1e-6, in float32."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float32[Array, "n h w c"]:
        n, h, w, c = x.shape
        scale = self.param("scale", _zeros, (c,)).astype(jnp.float32)
        bias = self.param("bias", _zeros, (c,)).astype(jnp.float32)
        y = x.astype(jnp.float32).reshape(n, h * w, _GROUPS, c // _GROUPS)
        mean = y.mean((1, 3), keepdims=True)
        variance = jnp.square(y - mean).mean((1, 3), keepdims=True)
        y = (y - mean) * jax.lax.rsqrt(variance + jnp.float32(1e-6))
        y = y.reshape(n, h, w, c)
        return y * scale[None, None, None] + bias[None, None, None]


class Projection(nn.Module):
    """Linear layer without a bias; kernel (in, out)."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float32[Array, "*b d"]:
        kernel = self.param("kernel", _zeros, (x.shape[-1], self.features))
        return einsum("...c,cd->...d", x, kernel, self.dtype)


class TemporalAttention(nn.Module):
    """Self-attention over the frames at each position; no bias before the heads.

    The table of positions is added to the input, so queries, keys and values alike
    carry it.
    """

    frames: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float32[Array, "b t p c"],
        cache: Cache | None = None,
        frame: Int32[Array, ""] | None = None,
    ) -> tuple[Float32[Array, "b t p c"], Cache | None]:
        """Attend among the frames of a clip, or of the only one to those before it."""
        c = x.shape[-1]
        project = Projection(3 * c, self.dtype, name="qkv")
        table = jnp.asarray(positions(self.frames, c))
        if cache is None or frame is None:
            x = x + table[None, : x.shape[1], None]
            q, k, v = jnp.split(project(x), 3, -1)
        else:
            # The table is added before a linear layer, so afterwards as well.
            q, k, v, cache = _streamed(project(x[:, 0]), project(table), cache, frame)
        b, t, p, _ = q.shape

        def heads(y):
            y = y.reshape(b, y.shape[1], p, HEADS, c // HEADS)
            return y.transpose(0, 2, 3, 1, 4).reshape(b * p, HEADS, -1, c // HEADS)

        scaled = heads(q) * np.float32((c // HEADS) ** -0.5)
        y = attend(scaled, heads(k), heads(v), "one_pass", self.dtype)
        y = y.reshape(b, p, HEADS, t, c // HEADS).transpose(0, 3, 1, 2, 4)
        y = Dense(c, self.dtype, name="proj")(y.reshape(b, t, p, c))
        return y, cache


def _streamed(qkv, added, cache: Cache, frame):
    """Return queries, keys and values of one frame of a stream, and the new cache.

    Frame i sees frames 0, i - 41, i - 29 .. i - 1 and itself in the 32 places of the
    table, frame 0 standing for those before it. Frame 0 sees itself alone, in place 0.
    """
    last = added.shape[0] - 1
    opening = frame == 0
    q, k, v = jnp.split(qkv, 3, -1)
    own = jnp.stack([k, v])
    first = jnp.where(opening, own, cache.first)
    ring = jnp.where(opening, own[None], cache.ring)
    back = jnp.asarray([RING, *range(last - 2, 0, -1)], jnp.int32)
    seen = jnp.take(ring, (frame - back) % RING, axis=0)
    slots = jnp.concatenate([first[None], seen, own[None]])
    place = jnp.arange(last + 1, dtype=jnp.int32)
    # At the opening all places hold frame 0, and all are seen as place 0: attention
    # among equals is each one's own value.
    place = jnp.where(opening, jnp.zeros_like(place), place)
    add_q, add_k, add_v = jnp.split(added[place], 3, -1)
    slots = slots + jnp.stack([add_k, add_v], 1)[:, :, None, None]
    k, v = slots[:, 0].swapaxes(0, 1), slots[:, 1].swapaxes(0, 1)
    ring = jax.lax.dynamic_update_index_in_dim(ring, own, frame % RING, 0)
    return (q + add_q[-1][None, None])[:, None], k, v, Cache(first, ring)


class GatedMlp(nn.Module):
    """fc2(value * gelu(gate)), [value, gate] = fc1(x): value first, unlike SwiGLU."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float32[Array, "*b c"]:
        c = x.shape[-1]
        y = Dense(8 * c, self.dtype, name="fc1")(x)
        value, gate = jnp.split(y, 2, -1)
        return Dense(c, self.dtype, name="fc2")(value * gelu(gate))


class TemporalModule(nn.Module):
    """One transformer block along time, added to its input.

    Its last layer is zero at initialisation, so that an untrained one is the identity.

    Attributes:
        axis: of a mesh that shares out the frames, inside `jax.shard_map`; `n` and
            `count` are those of one device then, which gets all frames of some
            positions while they are looked at along time.
    """

    frames: int
    dtype: Any = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float32[Array, "n h w c"],
        count: int,
        caches: tuple[Cache, ...] | None = None,
        frame: Int32[Array, ""] | None = None,
    ) -> tuple[Float32[Array, "n h w c"], tuple[Cache | None, ...]]:
        """Return maps of `n` frames, `count` of each clip after another."""
        n, h, w, c = x.shape
        y = Dense(c, self.dtype, name="proj_in")(GroupNorm(name="norm")(x))
        y = y.reshape(n // count, count, h * w, c)
        if self.axis is not None:
            y = by_position(y, self.axis)
        kept = []
        for j in range(ATTENTIONS):
            z = LayerNorm(1e-5, name=f"norm_{j}")(y)
            attention = TemporalAttention(self.frames, self.dtype, name=f"attn_{j}")
            z, cache = attention(z, caches and caches[j], frame)
            y = y + z
            kept.append(cache)
        z = LayerNorm(1e-5, name="mlp_norm")(y)
        y = y + GatedMlp(self.dtype, name="mlp")(z)
        if self.axis is not None:
            y = by_frame(y, self.axis, h * w)
        y = Dense(c, self.dtype, name="proj_out")(y.reshape(n, h, w, c))
        return x + y, tuple(kept)


class VideoHead(nn.Module):
    """DPT's head with the temporal modules; returns the map before its activation."""

    config: VideoHeadConfig
    dtype: Any = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(
        self,
        maps: tuple[Float[Array, "n _ _ _"], ...],
        size: tuple[int, int],
        count: int,
        state: StreamState | None = None,
    ) -> tuple[Float32[Array, "n h w"], dict[str, Array], tuple[Cache | None, ...]]:
        """Return the raw map, every intermediate, and the caches of a stream.

        Args:
            maps, size: as in `dpt.DPTHead`, of all frames of all clips.
            count: frames of each clip.
            state: of a stream of which this is the next frame.
        """
        mixed, named, caches = self.through_time(maps, count, state)
        raw, stages = self.by_frame(mixed, size)
        return raw, named | stages, caches

    @nn.compact
    def through_time(
        self,
        maps: tuple[Float[Array, "n _ _ _"], ...],
        count: int,
        state: StreamState | None = None,
    ) -> tuple[tuple[Array, ...], dict[str, Array], tuple[Cache | None, ...]]:
        """Return what is left to do frame by frame: a path and the two finer levels."""
        config, dtype = self.config, self.dtype
        named, caches = {}, []

        def along_time(m, x):
            past = None
            if state is not None:
                past = state.caches[ATTENTIONS * m : ATTENTIONS * (m + 1)]
            name = f"temporal_{m}"
            module = TemporalModule(config.frames, dtype, self.axis, name=name)
            x, kept = module(x, count, past, None if state is None else state.frame)
            caches.extend(kept)
            named[name] = x
            return x

        stages = [reassemble(i, x, config, dtype) for i, x in enumerate(maps)]
        stages[2:] = along_time(0, stages[2]), along_time(1, stages[3])
        levels = [to_level(i, x, config, dtype) for i, x in enumerate(stages)]
        named |= {f"level_{i + 1}": level for i, level in enumerate(levels)}
        path = None
        for i in (3, 2):
            block = FusionBlock(dtype, name=f"refinenet_{i + 1}")
            path = along_time(5 - i, block(path, levels[i], next_size(levels, i)))
            named[f"path_{i + 1}"] = path
        assert path is not None
        return (path, levels[1], levels[0]), named, tuple(caches)

    @nn.compact
    def by_frame(
        self, mixed: tuple[Float32[Array, "n _ _ c"], ...], size: tuple[int, int]
    ) -> tuple[Float32[Array, "n h w"], dict[str, Array]]:
        """Return the raw map at `size` of what `through_time` returned."""
        path, coarser, finest = mixed
        levels, named = (finest, coarser), {}
        for i in (1, 0):
            block = FusionBlock(self.dtype, name=f"refinenet_{i + 1}")
            path = block(path, levels[i], next_size(levels, i))
            named[f"path_{i + 1}"] = path
        raw, outputs = last_layers(path, size, self.config, self.dtype)
        return raw, named | outputs


class VideoDepthAnything(nn.Module):
    """Encoder and head; see `jax_depth.apply`, the usual way in.

    `axis`: of a mesh that shares out the frames, see `clips.clip_depth_sharded`.
    """

    config: ModelConfig
    axis: str | None = None

    @nn.compact
    def __call__(self, pixels: Float[Array, "b t h w 3"]) -> Float32[Array, "b t h w"]:
        """Return depth of every frame."""
        return self.run(pixels)[0].depth

    @nn.compact
    def run(
        self, pixels: Float[Array, "b t h w 3"], state: StreamState | None = None
    ) -> tuple[Output, dict[str, Any]]:
        """Return the output and all stages; those have one axis of all frames.

        Args:
            pixels: of whole clips, or of the next frame of a stream.
            state: of the stream; the new caches are among the stages, as "caches".
        """
        b, t, h, w, _ = pixels.shape
        most = self._head_config().frames
        if t > most:
            raise ValueError(
                f"a clip of {t} frames is longer than the {most} that model "
                f"{self.config.name!r} sees at once; cut it into windows, as "
                "Estimator.clip does"
            )
        maps, named = self.encode(pixels.reshape(b * t, h, w, 3))
        raw, stages, caches = self._head()(maps, (h, w), t, state)
        depth = activate(raw, self.config)
        named = named | stages | {"raw": raw, "caches": caches}
        return Output(depth.reshape(b, t, h, w)), named

    @nn.compact
    def encode(
        self, pixels: Float[Array, "n h w 3"]
    ) -> tuple[tuple[Float32[Array, "n ph pw d"], ...], dict[str, Array]]:
        """Return the maps that the head takes of frames, each by itself."""
        config = self.config
        encoder = architectures.encoder(config, jnp.dtype(config.dtype), name="encoder")
        maps, named = encoder(pixels)
        return maps, named | {f"tap_{i}": x for i, x in enumerate(maps)}

    @nn.compact
    def through_time(self, maps: tuple[Float[Array, "n _ _ _"], ...], count: int):
        """Return the first part of the head's result, see `VideoHead`."""
        return self._head().through_time(maps, count)[0]

    @nn.compact
    def by_frame(self, mixed: tuple[Array, ...], size: tuple[int, int]):
        """Return depth of what `through_time` returned."""
        return activate(self._head().by_frame(mixed, size)[0], self.config)

    def _head_config(self) -> VideoHeadConfig:
        assert isinstance(self.config.head, VideoHeadConfig)
        return self.config.head

    def _head(self) -> VideoHead:
        dtype = jnp.dtype(self.config.dtype)
        return VideoHead(self._head_config(), dtype, self.axis, name="head")
