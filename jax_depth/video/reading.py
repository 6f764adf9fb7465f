"""Video files, pipes and cameras as frames, read by PyAV."""

import collections
import os
import sys
import warnings
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from jax_depth.formats.optional import optional_module
from jax_depth.video.animation import Animation, is_animation
from jax_depth.video.container import (
    display_matrix,
    open_file,
    pixel_aspect,
    video_stream,
)
from jax_depth.video.frames import (
    DEFAULT_RATE,
    Frame,
    FrameFolder,
    Selection,
    Source,
    Thinning,
)
from jax_depth.video.hdr import ToneMapping

PIPE = "-"
PIPE_LABEL = "standard input"
_WHOLE = Selection()
# Seconds a container may promise more than it holds before it counts as cut short:
# the duration of many is that of their longest stream, or rounded.
_SLACK = 0.5
# Matrix coefficients (ITU-T H.273, table 4).
_BT709, _UNSPECIFIED = 1, 2


def open_source(
    source: str | os.PathLike[str] | int,
    selection: Selection = _WHOLE,
    *,
    audio: bool = False,
    label: str | None = None,
) -> Source:
    """Return the frames of a video.

    Args:
        source: a file of any format the installed PyAV reads, a folder of pictures, a
            camera by its number, or "-" for standard input.
        selection: which frames.
        audio: keep the packets of the first audio stream, see `Source.packets`.
        label: what messages call a file, where that is not its name.

    Raises:
        FileNotFoundError, OSError, ValueError: it cannot be read, or holds no wanted
            frame; the message has the remedy.
    """
    word = word_of(source)
    if os.path.isdir(word):
        return FrameFolder(word, selection)
    if is_animation(word):
        return Animation(word, selection)
    return VideoFile(word, selection, audio=audio, label=label)


def word_of(source: str | os.PathLike[str] | int) -> str:
    """Return a source as the command line would name it."""
    if isinstance(source, int):
        return str(source)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"a video is a file, a folder, '-' or a camera's number, not a "
            f"{type(source).__name__}; frames go to estimator.clip(frames)"
        )
    return os.fspath(source)


def is_camera(word: str) -> bool:
    """Say whether `word` means a camera: a number that is not a file's name."""
    return word.isascii() and word.isdigit() and not os.path.exists(word)


class VideoFile:
    """A video file, standard input or a camera.

    Frames are what a player shows: turned and mirrored by the display matrix of the
    file, and widened where its pixels are not square. They carry their own times, so a
    variable frame rate stays as it is. Packets that cannot be decoded and frames
    that the decoder calls corrupt are left out and counted; `problems` says so, and
    where the file breaks off, once it is read.
    """

    def __init__(
        self,
        source: str,
        selection: Selection,
        *,
        audio: bool = False,
        label: str | None = None,
    ):
        self.name = source
        self._label = label or (PIPE_LABEL if source == PIPE else f"'{source}'")
        self.problems: list[str] = []
        self.packets: collections.deque = collections.deque()
        self.audio: Any = None
        self._selection = selection
        self._av = av_module()
        self._camera = is_camera(source)
        self._container = self._open()
        try:
            self._prepare(audio)
        except BaseException:
            self.close()
            raise

    def _prepare(self, audio: bool) -> None:
        self._choose_streams(audio)
        container, selection = self._container, self._selection
        known = self._stream.average_rate or self._stream.guessed_rate
        self._source_rate = Fraction(known) if known else DEFAULT_RATE
        self.rate = selection.rate_from(self._source_rate)
        # Audio and video share one origin, so that they stay together.
        first = container.start_time or 0
        self._origin = first / self._av.time_base + selection.start
        self.expected = selection.expected(self._frames(), self._source_rate)
        if selection.start and not self._camera and self.name != PIPE:
            try:
                container.seek(round(self._origin * self._av.time_base), backward=True)
            except self._av.error.FFmpegError:
                # A raw stream has no clock to seek by, and its container is spent
                # now: it is read from the front, and early frames are passed over.
                self.close()
                self._container = self._open()
                self._choose_streams(audio)

    def _choose_streams(self, audio: bool) -> None:
        streams = self._container.streams
        try:
            self._stream: Any = video_stream(self._av, self._container)
        except ValueError as error:
            raise ValueError(f"{self._label} {error}") from None
        self._stream.thread_type = "AUTO"
        self._aspect = pixel_aspect(self._stream)
        self._tone_mapping = ToneMapping(self._av, self._label)
        if audio and streams.audio:
            self.audio = streams.audio[0]

    def _open(self) -> Any:
        av = self._av
        if self._camera:
            return self._open_camera()
        if self.name == PIPE:
            if sys.stdin.isatty():
                raise ValueError("'-' reads a video from a pipe; nothing is piped in")
            name = "pipe:0"
        else:
            name = self.name
            if not os.path.exists(name):
                raise FileNotFoundError(f"'{name}' does not exist; check the path")
            if not os.path.isfile(name):  # opening a pipe would wait for a writer
                raise OSError(
                    f"'{name}' is a pipe or a device; give '-' and pipe the video in, "
                    "or save it to a file first"
                )
            # Anything else FFmpeg might take for a protocol or a pattern.
            name = f"file:{name}"
        try:
            return open_file(av, name)
        except (av.error.FFmpegError, OSError) as error:
            remedy = "check that it is a whole video file"
            if self.name == PIPE:
                remedy = (
                    "a pipe needs a format that is read from front to back, such as "
                    "Matroska, WebM or MPEG-TS"
                )
            raise OSError(
                f"{self._label} cannot be read as video ({_reason(error)}); {remedy}"
            ) from None

    def _open_camera(self) -> Any:
        av, device = self._av, f"/dev/video{self.name}"
        if "video4linux2,v4l2" not in av.formats_available:
            raise OSError(
                f"camera {self.name}: the installed PyAV reads no cameras (v4l2); pipe "
                f"the camera in instead and give '-'"
            )
        try:
            return av.open(device, format="v4l2")
        except (av.error.FFmpegError, OSError) as error:
            raise OSError(
                f"camera {self.name} cannot be opened: {device}: {_reason(error)}; "
                "connect one, or give the number of another"
            ) from None

    def _frames(self) -> float | None:
        """Return how many frames the file says it has."""
        if self._camera:
            return None
        if self._stream.frames:
            return float(self._stream.frames)
        seconds = self._seconds()
        return None if seconds is None else seconds * float(self._source_rate)

    def _seconds(self) -> float | None:
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        duration = self._container.duration
        return duration / self._av.time_base if duration else None

    def __iter__(self) -> Iterator[Frame]:
        self._damaged, self._decoded, self._last = 0, 0, 0.0
        given = 0
        thinning = Thinning(self._selection.rate, self._source_rate)
        for decoded in self._decode():
            time = self._time(decoded)
            # Half a frame early is rounding of the file's clock.
            if time < -0.5 / self._source_rate or not thinning.takes(time):
                continue
            if decoded.interlaced_frame and not given:
                warnings.warn(
                    f"{self._label} is interlaced: each of its frames mixes two "
                    "moments and is used as stored; for better depth deinterlace the "
                    "clip first, for example with ffmpeg's filter bwdif",
                    stacklevel=2,
                )
            pixels = _shown(decoded, self._aspect, self._tone_mapping)
            yield Frame(pixels, max(time, 0.0))
            given += 1
            if given == self._selection.count:
                self._report(given, whole=False)
                return
        self._report(given, whole=True)

    def _decode(self) -> Iterator[Any]:
        """Yield decoded frames in order; count what cannot be decoded."""
        error_type = self._av.error.FFmpegError
        streams = [self._stream, *([self.audio] if self.audio else [])]
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets, None)
            except error_type as error:
                self.problems.append(f"{self._label} breaks off: {_reason(error)}")
                return
            if packet is None:
                return
            if packet.stream is self.audio:
                self._keep_audio(packet)
                continue
            try:
                frames = packet.decode()
            except error_type:
                self._damaged += 1
                continue
            for frame in frames:
                self._decoded += 1
                self._last = max(self._last, self._time(frame) + 1 / self._source_rate)
                if frame.is_corrupt:
                    self._damaged += 1
                else:
                    yield frame

    def _time(self, frame: Any) -> float:
        if frame.time is None:  # raw streams have no clock
            return float((self._decoded - 1) / self._source_rate) - self._origin
        return frame.time - self._origin

    def _keep_audio(self, packet: Any) -> None:
        if packet.dts is None:  # the mark at the end
            return
        time = float(packet.dts * packet.time_base) - self._origin
        if time >= 0:
            self.packets.append((packet, time))

    def _report(self, given: int, whole: bool) -> None:
        breaks_off = any("breaks off" in text for text in self.problems)
        end = None if breaks_off or not whole else self._early_end()
        # The decoder's threads may or may not complain about the packet torn at the
        # break.
        damaged = max(self._damaged - (breaks_off or end is not None), 0)
        if damaged:
            what = "frame is" if damaged == 1 else "frames are"
            self.problems.append(
                f"{self._label}: {damaged} {what} damaged and left out"
            )
        if given == 0 and not self.problems:
            lasts = self._seconds() or self._last + self._selection.start
            self.problems.append(
                f"{self._label} has no frame after {self._selection.start:g} s; it "
                f"lasts {lasts:g} s"
                if self._selection.start
                else f"{self._label} holds no frame"
            )
        elif whole and not breaks_off:
            self._check_delays()
            self.problems += [end] if end else []

    def _check_delays(self) -> None:
        """Note a GIF of which frames are missing."""
        # FFmpeg parts the frames of a GIF at their delays, and decodes the first of
        # those between which there is none.
        missing = self._stream.frames - self._decoded - self._damaged
        gif = self._container.format.name == "gif" and not self._selection.start
        if gif and missing > 0:
            self.problems.append(
                f"{self._label} states no delay between its {self._stream.frames} "
                f"frames, so {missing} of them cannot be read; save it with delays, or "
                "give a folder of its frames"
            )

    def _early_end(self) -> str | None:
        """Return what to say about a file that ended before its announced length."""
        end, seconds = self._last + self._selection.start, self._seconds()
        if self._camera or seconds is None:
            return None
        if end + _SLACK + 2 / self._source_rate < seconds:
            return (
                f"{self._label} breaks off after {end:.1f} of {seconds:.1f} s; get the "
                "whole file"
            )
        return None

    def close(self) -> None:
        """Close the file or the camera."""
        self._container.close()


def av_module() -> ModuleType:
    """Return PyAV.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module("av", "video needs", "video")


def _shown(frame: Any, aspect: Fraction, tone_mapping: ToneMapping) -> np.ndarray:
    """Return RGB pixels as a player shows them.

    Args:
        frame: as decoded.
        aspect: width of a stored pixel over its height; the shorter side is enlarged,
            so that nothing is lost.
        tone_mapping: of the clip.
    """
    matrix = display_matrix(frame)
    frame = tone_mapping(frame)
    width, height = frame.width, frame.height
    if aspect > 1:
        width = round(width * aspect)
    elif 0 < aspect < 1:
        height = round(height / aspect)
    options: dict[str, Any] = {}
    if frame.colorspace == _UNSPECIFIED and _is_hd(frame):
        options["src_colorspace"] = _BT709
    frame_rgb = frame.reformat(
        width=width, height=height, format="rgb24", interpolation="BICUBIC", **options
    )
    pixels = frame_rgb.to_ndarray()
    return _turned(pixels, matrix)


def _is_hd(frame: Any) -> bool:
    """Tell whether players take untagged colours for BT.709 instead of BT.601.

    mpv, `mp_csp_guess_colorspace`; FFmpeg's scaler takes all of them for BT.601.
    """
    return frame.width >= 1280 or frame.height > 576


def _turned(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, down, across = pixels.swapaxes(0, 1), b, c
    else:
        down, across = d, a
    pixels = pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
    return np.ascontiguousarray(pixels)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
