"""Depth of a clip's frames that is consistent in time: `Estimator.clip`.

Upstream: DepthAnything/Video-Depth-Anything `video_depth_anything/video_depth.py`
(windows, stitching, the size of wide frames) and `video_depth_stream.py` (streaming).
"""

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32

from jax_depth._forked import check_process
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import Pixels, as_bytes, read_image
from jax_depth.inference.prompted import refuse_without_prompt
from jax_depth.inference.stream import stream
from jax_depth.inference.views import on_one_device
from jax_depth.inference.windows import (
    LENGTH,
    Stitch,
    check_stitch,
    stitched,
    windows,
)
from jax_depth.models.architectures import sees_clips
from jax_depth.models.output import Output
from jax_depth.models.sharding import everywhere, mesh_of

# Frames wider than this are processed at a smaller size, to bound their area.
_WIDE, _RATIO = 1.78, 1.777


def clip(
    self: Any,
    frames: Iterable[Any],
    streaming: bool = False,
    stitch: Stitch = "steady",
) -> Generator[DepthMap]:
    """Predict depth for the frames of a clip, consistent in time.

        for depth in estimator.clip(frames):
            ...

    Video Depth Anything sees 32 frames at a time, in windows that overlap by ten
    frames; scale and shift of relative models are fitted from window to window, and
    metres stay as they are. A model of single pictures processes each frame separately;
    the maps of a relative model are aligned with the preceding ones. Frames are read as
    they are needed and at most a window of them is kept, so the clip may have any
    length. Where the size of the frames changes, a new clip begins.

    Args:
        frames: any iterable of arrays (h, w, 3) RGB, uint8 or float in [0, 1], or of
            whatever else the estimator takes. OpenCV's arrays are BGR: pass
            `frame[..., ::-1]`.
        streaming: compute each map as soon as its frame arrives, from cached features
            of a window of earlier frames: for live cameras, and less exact. For Video
            Depth Anything; other models compute every clip this way.
        stitch: how windows are brought to one scale: "exact" is the authors' method,
            which makes every map flat if the clip begins without contrast; "steady"
            avoids that and is otherwise identical.

    Yields:
        A `DepthMap` at the frame's own size for each frame, in order.

    Raises:
        ValueError: an unknown `stitch`, or a model or engine that cannot run clips;
            while iterating, a frame that is not a picture, named by its number.
        FileNotFoundError, OSError: while iterating, a frame's file cannot be read.
    """
    check_process()
    check_stitch(stitch)
    refuse_without_prompt(self.config)
    if isinstance(frames, str | bytes | os.PathLike):
        raise ValueError(
            "clip takes an iterable of frames; for a file use "
            "jax_depth.video.VideoDepth(estimator, path)"
        )
    pictures = numbered(frames)
    if not sees_clips(self.config):
        return _one_by_one(self, pictures)
    if self.engine != "xla":
        raise ValueError(f"engine {self.engine!r} cannot run clips; use engine 'xla'")
    maps = _streamed if streaming else functools.partial(_in_windows, stitch=stitch)
    return by_size(self, pictures, maps)


def numbered(frames: Iterable[Any]) -> Iterator[Pixels]:
    """Read frames; what is wrong with one names its number."""
    for number, frame in enumerate(frames):
        yield read_image(frame, name=f"frame {number}")


def _one_by_one(estimator: Any, pictures: Iterator[Pixels]) -> Generator[DepthMap]:
    from jax_depth.video.stabilize import Stream

    relative = estimator.config.kind != "metric_depth"
    steadied = Stream()
    pairs = stream(pictures, estimator, finish=lambda output, shape: (output, shape))
    with contextlib.closing(pairs):
        for picture, result in pairs:
            if isinstance(result, Exception):
                raise result
            output, shape = result
            if relative:
                depth = np.asarray(output.depth)
                depth = steadied.place(depth, as_bytes(picture)).aligned(depth)
                output = dataclasses.replace(output, depth=depth)
            yield estimator.finish(output, shape)


def by_size(
    estimator: Any,
    pictures: Iterable[Pixels],
    maps: Callable[..., Generator[DepthMap]],
) -> Generator[DepthMap]:
    """Yield maps of runs of frames of one size, each a clip of its own.

    Args:
        estimator: of a model of clips.
        pictures: see `numbered`.
        maps: (estimator, pixels as the network takes them, shape of the frames) ->
            their maps.
    """
    for shape, run in itertools.groupby(pictures, key=lambda x: x.shape[:2]):
        size = short_side(shape, estimator.size, estimator.config.encoder.patch_size)
        pixels = (estimator.prepare(picture, size=size)[0] for picture in run)
        yield from maps(estimator, pixels, shape)


def short_side(shape: tuple[int, int], size: int, patch: int) -> int:
    """Return the short side that frames are processed at: smaller for wide ones."""
    ratio = max(shape) / min(shape)
    if ratio <= _WIDE:
        return size
    return max(patch, round(int(size * _RATIO / ratio) / patch) * patch)


def _in_windows(estimator, pixels, shape, stitch) -> Generator[DepthMap]:
    config = estimator.config
    run = _window(estimator.params, config)

    def computed() -> Iterator[tuple[list[Float32[np.ndarray, "h w"]], int]]:
        # One window ahead: the next is read and prepared while this one computes.
        ahead = None
        for frames, count in windows(pixels):
            running = run(np.stack(frames))
            if ahead is not None:
                yield at_size(*ahead)
            ahead = running, count
        if ahead is not None:
            yield at_size(*ahead)

    def at_size(maps, count):
        maps = np.asarray(maps)
        return [estimator.depth_map(x, shape).values for x in maps], count

    align = config.kind != "metric_depth"
    blank = None
    for values in stitched(computed(), stitch, align):
        if blank is None:
            blank = estimator.depth_map(values, shape)
        yield dataclasses.replace(blank, values=values)


def _streamed(estimator, pixels, shape) -> Generator[DepthMap]:
    step = stepping(estimator)
    for frame in pixels:
        depth = np.asarray(step(frame[None]).depth)[0]
        yield estimator.finish(Output(depth), shape)


def stepping(estimator: Any) -> Callable[[Float32[np.ndarray, "1 h w 3"]], Output]:
    """Return a function of a stream's next frame, which remembers those before."""
    from jax_depth.models.clips import stream_init

    params, config = on_one_device(estimator.params), estimator.config
    state: Any = None

    def step(pixels):
        nonlocal state
        if state is None:
            state = stream_init(params, config, pixels.shape[1:3])
        state, output = _compiled_step()(params, state, pixels, config)
        return output

    return step


def _window(params, config) -> Callable[[Float32[np.ndarray, "t h w 3"]], jax.Array]:
    """Return the function of a window's pixels, on all devices of the parameters."""
    mesh = mesh_of(params, LENGTH, "data")
    params = on_one_device(params) if mesh is None else everywhere(params, mesh)
    return functools.partial(_compiled_window(mesh), params, config=config)


@functools.cache
def _compiled_window(mesh: Mesh | None) -> Any:
    # Late: a process that loads its programs from files does without Flax.
    from jax_depth.models.clips import clip_depth, clip_depth_sharded

    if mesh is None:
        return jax.jit(clip_depth, static_argnames="config")
    shared = functools.partial(clip_depth_sharded, mesh=mesh)
    return jax.jit(shared, static_argnames="config")


@functools.cache
def _compiled_step() -> Any:
    from jax_depth.models.clips import stream_step

    return jax.jit(stream_step, static_argnums=3, donate_argnums=1)
