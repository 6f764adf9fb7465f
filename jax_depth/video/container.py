"""What FFmpeg may open as a clip, and which of its streams is looked at.

FFmpeg plays more than clips: texts, as pictures of a terminal, and lists that name
other files or hosts. A file that somebody sent must reach neither, so those are refused
before they are opened.
"""

import enum
import functools
from fractions import Fraction
from typing import Any

from PIL import Image

# Lists and descriptions of other files and of network streams.
_LISTS = "concat dash hls imf rtsp sap sdp vobsub webm_dash_manifest".split()
# Texts, and pictures drawn with the letters of terminals.
_TEXTS = "adf bin idf tty xbin".split()
# Width over height of a stored pixel, or height over width: anamorphic film has 2, and
# files have a field that goes to four thousand millions.
_LARGEST_ASPECT = 16


def open_file(av: Any, name: str) -> Any:
    """Return the container of a file or pipe.

    Args:
        av: PyAV.
        name: with FFmpeg's protocol in front, `file:` or `pipe:`.

    Raises:
        OSError, av.error.FFmpegError: FFmpeg cannot open it.
    """
    options = {"format_whitelist": _clips(av), "protocol_whitelist": "file,pipe"}
    try:
        return av.open(name, options=options, metadata_errors="replace")
    except av.error.ArgumentError:
        raise OSError(
            None, "a text, a list of other files, or frames without a header"
        ) from None


@functools.cache
def _clips(av: Any) -> str:
    return ",".join(sorted(av.formats_available.difference(_LISTS, _TEXTS)))


def video_stream(av: Any, container: Any) -> Any:
    """Return the stream that a player shows.

    Raises:
        ValueError: none is there, or none that can be decoded, or its frames are above
            Pillow's guard against decompression bombs; the end of a sentence that
            begins with the file's name.
    """
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise ValueError(
            "holds no video stream, only a cover picture"
            if container.streams.video
            else "holds no video stream"
        )
    stream = next((s for s in streams if s.codec_context is not None), None)
    if stream is None:
        raise ValueError(
            "holds video of a kind that the installed FFmpeg does not decode; convert "
            "it to H.264"
        )
    context, limit = stream.codec_context, 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if limit:
        if context.width * context.height > limit:
            raise ValueError(
                f"has frames of {context.width}x{context.height} pixels, more than the "
                f"{limit // 1_000_000} megapixels that are read; scale it down"
            )
        # Of frames that grow later.
        context.options = {**context.options, "max_pixels": str(limit)}
    return stream


def pixel_aspect(stream: Any) -> Fraction:
    """Return width over height of a stored pixel; 1 where the file says nonsense."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    within = Fraction(1, _LARGEST_ASPECT) <= aspect <= _LARGEST_ASPECT
    return aspect if within else Fraction(1)


def display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Return (a, b, c, d): a pixel at (x, y) is shown at (a x + c y, b x + d y).

    FFmpeg, libavutil/display.h: nine numbers of 16.16 bits, the third and sixth of
    perspective, the last three of translation.
    """
    from av.sidedata.sidedata import Type

    if "_missing_" not in vars(Type):
        # Of FFmpeg's kinds of side data PyAV 18 names all but the newest, those of EXIF
        # and of stereo views, and cannot list what a frame has beside one of them.
        Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]
    for data in frame.side_data:
        if data.type is Type.DISPLAYMATRIX:
            a, b, _, c, d, *_ = memoryview(data).cast("B").cast("i").tolist()
            return a, b, c, d
    return 1, 0, 0, 1


def _unnamed(kinds: type[enum.Enum], value: int) -> enum.Enum:
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind
