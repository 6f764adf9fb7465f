"""Pure functions of the network of clips: a whole clip, or a stream of frames.

The modules are in `temporal.py`.
"""

import functools
import numbers
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jax_depth._forked import check_process
from jax_depth._typing import Array, Float, Float32, Params
from jax_depth.config import ModelConfig
from jax_depth.models import architectures
from jax_depth.models.arguments import (
    check_config,
    check_params,
    check_pixels,
    fitting,
)
from jax_depth.models.depth_anything import check_size
from jax_depth.models.output import Output
from jax_depth.models.temporal import (
    ATTENTIONS,
    RING,
    Cache,
    StreamState,
    VideoDepthAnything,
)

# Frames whose encoder and last convolutions run together, as upstream's head does.
_CHUNK = 4


def clip_depth(
    params: Params,
    pixels: Float[Array, "t h w 3"],
    config: ModelConfig,
    axis: str | None = None,
) -> Float32[Array, "t h w"]:
    """Return `forward` of one clip, its frames a few at a time where they can be.

    The same numbers in less memory: only the temporal modules need all frames.

    Args:
        params, pixels, config: as in `forward`, of one clip.
        axis: see `clip_depth_sharded`.
    """
    count, height, width, _ = pixels.shape
    module = VideoDepthAnything(config, axis)

    def call(method, *args):
        return module.apply({"params": params}, *args, method=method)

    def in_chunks(function, tree):
        chunk = _CHUNK if count % _CHUNK == 0 else count
        parts = jax.tree.map(lambda x: x.reshape(-1, chunk, *x.shape[1:]), tree)
        result = jax.lax.map(function, parts)
        return jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), result)

    maps = in_chunks(lambda part: call("encode", part)[0], pixels)
    mixed = call("through_time", maps, count)
    return in_chunks(lambda part: call("by_frame", part, (height, width)), mixed)


def clip_depth_sharded(
    params: Params, pixels: Float[Array, "t h w 3"], config: ModelConfig, mesh: Mesh
) -> Float32[Array, "t h w"]:
    """Return `clip_depth`, its frames over the devices of a mesh.

    Encoder and convolutions have the frames of their own device. In a temporal module
    each device has all frames of its share of positions: two exchanges a module, and
    nothing else is sent.

    Args:
        params: on every device.
        pixels: as in `clip_depth`.
        config: the model.
        mesh: of one axis, whose size divides t.
    """
    (axis,) = mesh.axis_names
    split = PartitionSpec(axis)

    def run(params: Any, pixels: Any) -> Any:
        return clip_depth(params, pixels, config, axis)

    # Kernels that XLA does not see into do not say what differs between devices.
    shared = jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(PartitionSpec(), split),
        out_specs=split,
        check_vma=False,
    )
    return shared(params, pixels)


def stream_init(
    params: Params, config: ModelConfig, size: tuple[int, int], batch: int = 1
) -> StreamState:
    """Return the state of `batch` streams before their first frame.

    Args:
        params: of the model; unused but for their place in the family of functions.
        config: a model of clips, Video Depth Anything.
        size: (h, w) of the pixels of every frame.
        batch: streams that run side by side.

    Raises:
        ValueError: another kind of model, or sides that are not multiples of its patch.
    """
    check_process()
    check_config(config)
    if not (isinstance(size, tuple | list) and [*map(_is_whole, size)] == [True] * 2):
        raise ValueError(f"size {size!r} is not (height, width) in whole pixels")
    if not _is_whole(batch) or batch < 1:
        raise ValueError(f"batch {batch!r} is not a whole number of streams above 0")
    check_size((batch, 1, *size, 3), _of_clips(config))
    assert config.head is not None
    rows, columns = (side // config.encoder.patch_size for side in size)
    coarse = -(-rows // 2) * -(-columns // 2)
    places = (rows * columns, coarse, rows * columns, 4 * rows * columns)
    head = config.head
    widths = (head.channels[2], head.channels[3], head.features, head.features)
    caches = tuple(
        Cache(
            jnp.zeros((2, batch, p, c), jnp.float32),
            jnp.zeros((RING, 2, batch, p, c), jnp.float32),
        )
        for p, c in zip(places, widths, strict=True)
        for _ in range(ATTENTIONS)
    )
    return StreamState(jnp.zeros((), jnp.int32), caches)


def stream_step(
    params: Params,
    state: StreamState,
    pixels: Float[Array, "b h w 3"],
    config: ModelConfig,
) -> tuple[StreamState, Output]:
    """Predict the next frame of a stream. Pure; jit it with `config` static, or scan.

    The published method without training for it, and less exact than a clip as a
    whole. Donate the state where you jit: it is most of the memory.

    Args:
        params: as in `jax_depth.apply`.
        state: of `stream_init`, or of the frame before.
        pixels: the frame, normalised RGB, of the size the state was made for.
        config: the model.

    Returns:
        The next state, and an `Output` whose depth is (b, h, w).

    Raises:
        ValueError: another kind of model, or pixels of another size or batch.
    """
    check_process()
    check_config(config)
    check_params(params)
    check_pixels(pixels)
    if not isinstance(state, StreamState):
        raise TypeError(
            f"state is a {type(state).__name__}; give what stream_init, or the step "
            "before, returned"
        )
    check_size((pixels.shape[0], 1, *pixels.shape[1:]), _of_clips(config))
    shapes = stream_shapes(config, pixels.shape[1:3], pixels.shape[0])
    if [x.shape for x in jax.tree.leaves(state)] != shapes:
        raise ValueError(
            f"pixels of {pixels.shape} do not continue this stream, whose frames have "
            "another size or number; start a new one with stream_init"
        )
    module = architectures.network(config)
    with fitting(config):
        output, named = module.apply(
            {"params": params}, pixels[:, None], state, method="run"
        )
    state = StreamState(state.frame + 1, named["caches"])
    return state, Output(output.depth[:, 0])


@functools.lru_cache(maxsize=32)
def stream_shapes(config: ModelConfig, size: tuple[int, int], batch: int) -> list:
    """Return the shapes of the leaves of a stream's state."""
    state = jax.eval_shape(lambda: stream_init({}, config, size, batch))
    return [x.shape for x in jax.tree.leaves(state)]


def _is_whole(x: Any) -> bool:
    return isinstance(x, numbers.Integral) and not isinstance(x, bool)


def _of_clips(config: ModelConfig) -> ModelConfig:
    if not architectures.sees_clips(config):
        raise ValueError(
            f"model {config.name!r} sees single pictures and has no stream; give "
            "frames to jax_depth.apply, or use a video-depth-anything model"
        )
    return config
