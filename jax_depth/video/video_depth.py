"""Depth of a video: read, infer and place each frame, all three at the same time.

    from jax_depth.video.video_depth import VideoDepth

    with VideoDepth(jax_depth.load("tiny"), "clip.mp4") as video:
        for result in video:
            result.frame.time, result.depth     # seconds, DepthMap at the frame's size

Decoding runs in one thread, the network in another, and the caller in its own; queues
of a few frames lie between, so memory does not depend on the length of the clip.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32

from jax_depth.depth_map import DepthMap
from jax_depth.inference.stream import stream
from jax_depth.inference.windows import Stitch, check_stitch
from jax_depth.models.architectures import sees_clips
from jax_depth.models.output import Output
from jax_depth.outputs.calibration import checked_ends
from jax_depth.video.blend import KEEP, Blend
from jax_depth.video.frames import Frame, Selection, Source
from jax_depth.video.prefetch import prefetch
from jax_depth.video.reading import (
    PIPE,
    PIPE_LABEL,
    is_camera,
    open_source,
    word_of,
)
from jax_depth.video.spool import Spool
from jax_depth.video.stabilize import DEFAULT, FrameRange, Settings, Stream

RangeMode = Literal["frame", "clip", "stream"]
_WHOLE = Selection()


@dataclasses.dataclass(frozen=True, eq=False)
class FrameDepth:
    """One frame and its depth.

    Attributes:
        frame: the picture and its time.
        values: scale * (what the network gave) + shift, at its own size.
        steady: the same, blended with the past for display, see `Blend`.
        placed: scale and shift, the range to show, and whether a scene begins.
        to_map: brings values to the frame's size.
        extremes: smallest and largest value of the whole clip, where that is known.
    """

    frame: Frame
    values: Float32[np.ndarray, "h w"]
    steady: Float32[np.ndarray, "h w"]
    placed: FrameRange
    to_map: Callable[[np.ndarray, tuple[int, int]], DepthMap]
    extremes: tuple[float, float] | None = None

    @functools.cached_property
    def depth(self) -> DepthMap:
        """The map at the frame's size."""
        height, width = self.frame.pixels.shape[:2]
        return self.to_map(self.values, (height, width))

    @functools.cached_property
    def shown(self) -> DepthMap:
        """The map to make a picture of, at the frame's size."""
        if self.steady is self.values:
            return self.depth
        height, width = self.frame.pixels.shape[:2]
        return self.to_map(self.steady, (height, width))


class VideoDepth:
    """The depth of every frame of a video, in order; iterate once.

    Attributes:
        source: what is read; `source.rate`, `source.expected` and, once read,
            `source.problems` are of use to callers.
        interrupted: whether Ctrl-C ended the first of two passes early.
    """

    def __init__(
        self,
        estimator: Any,
        source: str | os.PathLike[str] | int,
        selection: Selection = _WHOLE,
        *,
        range: RangeMode | tuple[float, float] = "stream",
        audio: bool = False,
        settings: Settings = DEFAULT,
        smooth: float = KEEP,
        streaming: bool = False,
        stitch: Stitch = "steady",
        on_measured: Callable[[], None] | None = None,
    ):
        """Open the source.

        Args:
            estimator: from `jax_depth.load`.
            source: a file, a folder of pictures, a camera's number, or "-".
            selection: which frames.
            range: what pictures of the maps should span, and whether values are
                aligned:
                - "frame": each has its own smallest and largest value, as in the
                  original `run_video.py`; it flickers.
                - "stream": values of relative models are aligned to the frames before
                  (metres stay as they are), the range follows slowly, and what is
                  shown keeps part of the past where the picture stands still.
                - "clip": one range for all frames, of the model's own values. Takes
                  two passes over the source, with the maps on disk in between.
                - (low, high).
            audio: keep the packets of the audio, see `Source`.
            settings: of "stream".
            smooth: share of the past that "stream" shows, see `Blend`; 0 for none.
                Models of clips are steady by themselves and are not blended.
            streaming, stitch: for models of clips, see `Estimator.clip`.
            on_measured: called after every frame of the first of two passes.

        Raises:
            FileNotFoundError, OSError, ValueError: as `open_source`; a range that is
                none of these; or "clip" for a camera, which has no end.
        """
        source = word_of(source)
        if not isinstance(range, str):
            range = checked_ends(range)
        elif range not in get_args(RangeMode):
            raise ValueError(
                f"range {range!r} is unknown; use {', '.join(get_args(RangeMode))} or "
                "(low, high)"
            )
        if range == "clip" and is_camera(source):
            raise ValueError("a camera has no end: use the range stream, not clip")
        check_stitch(stitch)
        self._clips = sees_clips(estimator.config)
        self._options = {"streaming": streaming, "stitch": stitch}
        if self._clips:
            smooth = 0.0
        self.interrupted = False
        self._estimator, self._range, self._settings = estimator, range, settings
        self._selection, self._on_measured = selection, on_measured
        self._blend = Blend(smooth) if range == "stream" and smooth else None
        self._copy, self._word, self._label = None, source, None
        if range == "clip" and source == PIPE:
            self._copy = self._word = _copy_of_pipe()
            self._label = PIPE_LABEL  # the copy's name would say nothing
        try:
            self.source: Source = self._open(audio=audio)
        except BaseException:
            self._forget_copy()
            raise

    def _open(self, audio: bool = False) -> Source:
        return open_source(self._word, self._selection, audio=audio, label=self._label)

    def __iter__(self) -> Generator[FrameDepth]:
        if self._range == "clip":
            yield from self._in_two_passes()
            return
        place = self._placer()
        with contextlib.closing(self._estimate(self.source)) as pairs:
            for frame, values in pairs:
                yield self._result(frame, values, place(frame, values))

    def _estimate(self, source: Iterable[Frame]) -> Generator[tuple[Frame, np.ndarray]]:
        if self._clips:
            maps = _of_clip(source, self._estimator, **self._options)
            return prefetch(maps, 2)
        return estimate(source, self._estimator)

    def _placer(self) -> Callable[[Frame, np.ndarray], FrameRange]:
        if self._range == "stream":
            relative = self._estimator.config.kind != "metric_depth"
            align = relative and not self._clips
            settings = dataclasses.replace(self._settings, align=align)
            stream = Stream(settings)
            return lambda frame, values: stream.place(values, frame.pixels)
        fixed = FrameRange()
        if not isinstance(self._range, str):
            fixed = FrameRange(low=self._range[0], high=self._range[1])
        return lambda frame, values: fixed

    def _in_two_passes(self) -> Generator[FrameDepth]:
        with Spool(self._settings) as spool:
            first = self._open()
            try:
                with contextlib.closing(self._estimate(first)) as pairs:
                    for _, values in pairs:
                        spool.append(values)
                        if self._on_measured is not None:
                            self._on_measured()
            except KeyboardInterrupt:
                self.interrupted = True  # what was computed is still worth a file
            finally:
                first.close()
            if not len(spool):
                self.source.problems.extend(first.problems)
                return
            low, high = spool.range
            placed = FrameRange(low=low, high=high)
            # Resizing may leave the range by a rounding.
            least, most = spool.extremes
            slack = 1e-6 * (abs(least) + abs(most))
            extremes = least - slack, most + slack
            with contextlib.closing(prefetch(self.source, 4)) as frames:
                for values, frame in zip(spool, frames, strict=False):
                    yield self._result(frame, values, placed, extremes)
                if not self.interrupted:
                    next(frames, None)  # lets the source look at its end

    def _result(self, frame, values, placed: FrameRange, extremes=None) -> FrameDepth:
        steady = values = placed.aligned(values)
        if self._blend is not None:
            steady = self._blend.mix(values, frame.pixels, placed.cut)
        to_map = self._estimator.depth_map
        return FrameDepth(frame, values, steady, placed, to_map, extremes)

    def close(self) -> None:
        """Release the source and what was spooled."""
        self.source.close()
        self._forget_copy()

    def _forget_copy(self) -> None:
        if self._copy is not None:
            os.unlink(self._copy)
            self._copy = None

    def __enter__(self) -> "VideoDepth":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def estimate(
    frames: Iterable[Frame], estimator: Any
) -> Generator[tuple[Frame, np.ndarray]]:
    """Yield each frame with what the network gives for it, (h, w) at its own size.

    Frames of one size are run `estimator.batch_size` at a time; while a batch is
    computed the next is read and prepared, and the last handed out.

    Args:
        frames: of any sizes.
        estimator: from `jax_depth.load`.

    Raises:
        ValueError, OSError: from reading, or a frame the model cannot take.
    """
    yield from prefetch(_estimated(frames, estimator), estimator.batch_size + 1)


def _of_clip(source: Iterable[Frame], estimator: Any, **options: Any):
    """Yield each frame with its map, from a model that sees many at once."""
    # Read ahead of their maps, by a window at most.
    waiting: collections.deque[Frame] = collections.deque()

    def pixels(frames: Iterable[Frame]) -> Iterator[np.ndarray]:
        for frame in frames:
            waiting.append(frame)
            yield frame.pixels

    with contextlib.ExitStack() as stack:
        ahead = stack.enter_context(contextlib.closing(prefetch(source, 4)))
        maps = estimator.clip(pixels(ahead), **options)
        for depth in stack.enter_context(contextlib.closing(maps)):
            yield waiting.popleft(), depth.values


def _estimated(frames: Iterable[Frame], estimator: Any):
    with contextlib.ExitStack() as stack:
        ahead = prefetch(frames, 2 * estimator.batch_size + 2)
        stack.enter_context(contextlib.closing(ahead))
        pairs = stream(ahead, estimator, read=_pixels_of, finish=_depth_of)
        stack.enter_context(contextlib.closing(pairs))
        for frame, values in pairs:
            if isinstance(values, Exception):
                raise values
            yield frame, values


def _pixels_of(frame: Frame) -> np.ndarray:
    return frame.pixels


def _depth_of(output: Output, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(output.depth)


def _copy_of_pipe() -> str:
    """Write standard input to a temporary file, since it will be read twice."""
    with tempfile.NamedTemporaryFile(suffix=".video", delete=False) as file:
        try:
            shutil.copyfileobj(sys.stdin.buffer, file)
        except BaseException:
            os.unlink(file.name)
            raise
    return file.name
