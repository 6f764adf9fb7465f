"""Pictures into a video file that players open: MP4, MOV, Matroska, WebM, GIF, WebP.

H.264 in 8-bit 4:2:0 with BT.709 colours, which every player and browser decodes. That
format has even sizes only: an odd last row or column is repeated once. All pictures of
a file have one size: later ones of another are scaled to fit in the first, on black.
"""

import collections
import contextlib
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.formats.atomic import atomic
from jax_depth.video.reading import av_module

# Codec -> FFmpeg's encoder and its options at a quality of `crf`.
CODECS = {
    "h264": ("libx264", {"preset": "veryfast"}),
    "hevc": ("libx265", {"preset": "fast", "x265-params": "log-level=none"}),
    "av1": ("libsvtav1", {"preset": "8"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "b": "0"}),
    "gif": ("gif", {}),
    "webp": ("libwebp_anim", {"quality": "90"}),
}
SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp")
_VIDEO = ("h264", "hevc", "av1", "vp9")
# Formats that hold some of them only; an animated picture holds itself, the first.
_HELD = {
    ".mov": ("h264", "hevc"),
    ".webm": ("vp9", "av1"),
    ".gif": ("gif",),
    ".webp": ("webp",),
}
# Of animated pictures: how FFmpeg stores their pixels.
_PIXELS = {"gif": "pal8", "webp": "yuv420p"}
# 256 colours, chosen for each picture of a GIF.
_PALETTES = "palettegen=stats_mode=single", "paletteuse=new=1"
# Ticks a second: whole for every usual frame rate, also 30000/1001.
_CLOCK = 90000
_BT709 = 1  # of ISO/IEC 23091-2, and of FFmpeg's numbering
_LIMITED = 1
# x264 and its kin take this for visually lossless or nearly so.
QUALITY = 18


class _Nothing(Exception):
    """No picture was written, so there is to be no file."""


class VideoWriter:
    """Writes a video, and audio packets beside it.

    The file is complete once `close` has run, even after an error or Ctrl-C: it then
    holds the pictures written so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: Fraction | float,
        *,
        codec: str | None = None,
        quality: int = QUALITY,
        audio: Any = None,
        packets: collections.deque | None = None,
    ):
        """Remember what to write; the file is made with the first picture.

        Args:
            path: of the file; its suffix, of `SUFFIXES`, says the format.
            rate: frames a second, on average.
            codec: of `CODECS`; when None h264, vp9 for WebM, and of `.gif` and
                `.webp` the only one.
            quality: crf of the encoder; lower is better and larger.
            audio: a stream of an open PyAV container, copied as it is.
            packets: (packet, seconds) of that stream, emptied as pictures are written.

        Raises:
            ValueError: as `codec_for`.
        """
        self.path = Path(path)
        self.suffix = self.path.suffix.lower()
        self.codec = codec_for(self.path, codec)
        self.frames = 0
        self.size: tuple[int, int] | None = None
        self._rate = Fraction(rate).limit_denominator(_CLOCK)
        self._quality = quality
        self._audio, self._packets = audio, packets
        self._av = av_module()
        self._container: Any = None
        self._stream: Any = None
        self._copied: Any = None
        self._graph: Any = None
        self._last = -1
        self._file = contextlib.ExitStack()

    def write(self, picture: UInt8[np.ndarray, "h w 3"], time: float) -> None:
        """Append a picture that is shown from `time` on, in seconds.

        Raises:
            OSError: it cannot be encoded or written; hevc and av1 take no tiny ones.
            ValueError: the container cannot hold the audio.
        """
        if self._container is None:
            self._open(picture.shape[:2])
        assert self.size is not None
        pixels = fit_into(picture, self.size)
        pixels = pixels if self.codec in _PIXELS else even(pixels)
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if self.codec in _VIDEO:
            frame = frame.reformat(
                format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED
            )
        elif self.codec == "webp":
            frame = frame.reformat(format="yuv420p")
        # Two pictures never share a tick, whatever the source's clock says.
        ticks = self._stream.time_base.denominator
        self._last = frame.pts = max(round(time * ticks), self._last + 1)
        frame.time_base = Fraction(1, ticks)
        for ready in self._with_palette(frame):
            self._mux(self._encode(ready))
        self._copy_audio(time)
        self.frames += 1

    def _with_palette(self, frame: Any) -> list[Any]:
        """Return the pictures that are ready to be encoded; None ends the clip."""
        if self._graph is None:
            return [] if frame is None else [frame]
        self._graph.push(frame)
        ready = []
        while True:
            try:
                ready.append(self._graph.pull())
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return ready

    def _palette_graph(self) -> Any:
        graph = self._av.filter.Graph()
        height, width = self.size or (0, 0)
        source = graph.add_buffer(
            width=width, height=height, format="rgb24", time_base=Fraction(1, 100)
        )
        split, sink = graph.add("split"), graph.add("buffersink")
        palettes, use = (graph.add(*text.split("=", 1)) for text in _PALETTES)
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palettes, 1, 0)
        palettes.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return graph

    def _open(self, size: tuple[int, ...]) -> None:
        height, width = size
        self.size = (height, width)
        options = {"movflags": "+faststart"} if self.suffix in (".mp4", ".mov") else {}
        options |= {"loop": "0"} if self.codec in _PIXELS else {}  # without an end
        formats = {".mkv": "matroska"}
        form = formats.get(self.suffix, self.suffix.removeprefix("."))
        encoder, settings = CODECS[self.codec]
        # SVT-AV1 prints its settings on stderr unless told to report errors only.
        os.environ.setdefault("SVT_LOG", "1")
        temporary = self._file.enter_context(atomic(self.path))
        try:
            self._container = self._av.open(
                f"file:{temporary}", "w", format=form, options=options
            )
        except self._av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        stream = self._container.add_stream(encoder, rate=self._rate)
        context = stream.codec_context
        if self.codec in _PIXELS:
            # Their own clocks: hundredths and thousandths of a second.
            ticks = 100 if self.codec == "gif" else 1000
            stream.width, stream.height = width, height
            stream.pix_fmt, stream.options = _PIXELS[self.codec], settings
            self._graph = self._palette_graph() if self.codec == "gif" else None
        else:
            ticks = _CLOCK
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            stream.options = {**settings, "crf": str(self._quality)}
            context.color_range = _LIMITED
            context.colorspace = context.color_primaries = context.color_trc = _BT709
        stream.time_base = context.time_base = Fraction(1, ticks)
        if self.codec == "hevc":
            context.codec_tag = "hvc1"  # Apple's players know no other
        self._stream = stream
        # Now, so that a refusal is not taken for one of the audio.
        self._encoded(context.open)
        self._copied = self._add_audio()

    def _add_audio(self) -> Any:
        if self._audio is None:
            return None
        name = self._audio.codec_context.name
        try:
            copied = self._container.add_stream_from_template(self._audio)
            self._container.start_encoding()
        except (self._av.error.FFmpegError, ValueError):
            raise ValueError(
                f"a {self.suffix} file cannot hold the clip's audio ({name}); write "
                ".mkv, which holds any, or leave the audio out"
            ) from None
        return copied

    def _copy_audio(self, until: float) -> None:
        """Write the packets up to `until`."""
        while self._copied is not None and self._packets:
            packet, time = self._packets[0]
            if time > until:
                return
            self._packets.popleft()
            packet.pts = packet.dts = round(time / packet.time_base)
            packet.stream = self._copied
            self._mux([packet])

    def _encode(self, frame: Any) -> Any:
        return self._encoded(lambda: self._stream.encode(frame))

    def _encoded(self, encode: Callable[[], Any]) -> Any:
        """Return what `encode` returns; a refusal becomes one sentence."""
        assert self.size is not None
        try:
            return encode()
        except self._av.error.FFmpegError:
            height, width = self.size
            raise OSError(
                f"{self.codec} cannot encode a film of {width}x{height} pixels; choose "
                "another codec, such as h264"
            ) from None

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.stream is self._stream and not packet.duration:
                packet.duration = round(1 / self._rate / packet.time_base)
            try:
                self._container.mux_one(packet)
            except self._av.error.FFmpegError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None

    def close(self) -> bool:
        """Finish the file and put it in place; without a picture there is none.

        Returns:
            Whether this call made the file.

        Raises:
            OSError: it cannot be written.
        """
        if self._container is None:
            return False
        try:
            with self._file:
                try:
                    if self.frames:
                        ticks = self._stream.time_base.denominator
                        for ready in [*self._with_palette(None), None]:
                            self._mux(self._encode(ready))
                        self._copy_audio(self._last / ticks + float(1 / self._rate))
                finally:
                    self._container.close()
                if not self.frames:
                    raise _Nothing
        except self._av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        except _Nothing:
            return False
        finally:
            self._container = None
        return True

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def codec_for(path: Path, codec: str | None) -> str:
    """Return the codec of a film at `path`, the usual one of its format when None.

    Raises:
        ValueError: unknown suffix or codec, or they do not fit together.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"'{path}': videos are written as {', '.join(SUFFIXES)}; choose one"
        )
    held = _HELD.get(suffix, _VIDEO)
    chosen = codec or held[0]
    if chosen not in CODECS:
        raise ValueError(f"codec {chosen!r} is unknown; known: {', '.join(CODECS)}")
    if chosen not in held:
        raise ValueError(
            f"'{path}': {suffix} holds {' or '.join(held)}, not {chosen}; "
            ".mp4 and .mkv hold every codec"
        )
    return chosen


def even(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the picture with an odd last row or column repeated once."""
    height, width = picture.shape[:2]
    if not (height % 2 or width % 2):
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def fit_into(
    picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the picture scaled to fit in `size` (rows, columns), centred on black."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    image = Image.fromarray(picture).resize(
        (inner[1], inner[0]), Image.Resampling.BILINEAR
    )
    result = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[top : top + inner[0], left : left + inner[1]] = np.asarray(image)
    return result
