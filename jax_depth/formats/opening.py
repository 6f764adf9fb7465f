"""Opening a picture with Pillow, or one sentence on what the file is instead.

Pillow refuses a PNG with a text or colour profile above a megabyte, since a small file
may unpack into much; profiles of printers have more.
"""

import io
import re
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from jax_depth.formats.tiff_pictures import (
    File,
    first_directory,
    is_big_endian_bigtiff,
    is_camera_raw,
)
from jax_depth.formats.unread import (
    CAMERA_RAW,
    by_signature,
    is_heif,
    is_raw,
    jpeg_kind,
    unread_kind,
)

# `warnings.catch_warnings` is not safe in threads that overlap.
_lock = threading.Lock()

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"iCCP", b"zTXt", b"iTXt", b"tEXt")


class UnreadKind(OSError):
    """A file is of a kind that is not read; the sentence says of which.

    Attributes:
        known: whether it does.
    """

    def __init__(self, sentence: str, known: bool = True):
        super().__init__(sentence)
        self.known = known


def allow_megapixels(megapixels: int) -> None:
    """Read pictures of up to this many megapixels in this process; 178 by default.

    The limit is Pillow's guard against decompression bombs, small files that unpack
    into more than the memory holds.

    Args:
        megapixels: at least 1; a picture of 200 takes about 1.6 GB while it is read.

    Raises:
        ValueError: `megapixels` is below 1.
    """
    if megapixels < 1:
        raise ValueError(f"megapixels {megapixels!r} is too small; give at least 1")
    # Pillow refuses above twice its number, which is where it begins to warn.
    Image.MAX_IMAGE_PIXELS = int(megapixels * 1_000_000 / 2)


def open_picture(
    file: File,
    path: Path,
    label: str,
    formats: Sequence[str] | None = None,
) -> Image.Image | None:
    """Open a picture with Pillow.

    Args:
        file: open for reading.
        path: what it is called, whose suffix counts where the contents say nothing.
        label: what error messages call it.
        formats: of Pillow, to which a file is held; all when None.

    Returns:
        The picture, not loaded; None for a sound TIFF whose pixels Pillow does not know
        (`read_odd_tiff`).

    Raises:
        UnreadKind: it is something else than a picture that is read.
        OSError: it is damaged.
        ValueError: it has too many pixels, see `decoding_error`.
    """
    file.seek(0)
    header = file.read(32)
    if is_big_endian_bigtiff(header):
        return None
    other = by_signature(header)
    if other is not None:
        raise UnreadKind(f"{label} {other}")
    try:
        # Pillow warns at half the size at which it refuses; the refusal is enough.
        with _lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = _with_pillow(file, header, formats)
    except MemoryError:
        raise
    except Exception as error:
        if not isinstance(error, UnidentifiedImageError):
            raise decoding_error(label, error) from error
        kind = jpeg_kind(file) or unread_kind(path, header)
        if kind is None and is_camera_raw(file):
            kind = CAMERA_RAW
        if kind is not None:
            raise UnreadKind(f"{label} {kind}") from error
        if first_directory(file):
            return None
        raise UnreadKind(str(decoding_error(label, error)), known=False) from error
    if isinstance(image, TiffImageFile) and (
        is_raw(path, header) or is_camera_raw(file)
    ):
        raise UnreadKind(f"{label} {CAMERA_RAW}")
    return image


def decoding_error(label: str, error: Exception) -> Exception:
    """Turn what Pillow raised into one sentence.

    Its decoders raise whatever they stumble on in a damaged file: OSError,
    SyntaxError, struct.error, zlib.error, IndexError...
    """
    if isinstance(error, UnidentifiedImageError):
        return OSError(
            f"{label} is not a picture that can be read: its format is unknown or its "
            "header damaged; check the file or convert it to PNG or JPEG"
        )
    if isinstance(error, Image.DecompressionBombError):
        found = re.search(r"(\d+) pixels", str(error))
        size = -(-int(found[1]) // 1_000_000) if found else 0
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        return ValueError(
            f"{label} has {size} megapixels, more than the {limit} read by default; "
            f"shrink it, or if you trust it allow its size: `--max-megapixels {size}`, "
            f"in Python `jax_depth.formats.allow_megapixels({size})`; this takes about "
            f"{max(1, round(size * 8 / 1000))} GB of memory"
        )
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return OSError(f"{label} is damaged or truncated ({reason}); replace the file")


def _with_pillow(
    file: File, header: bytes, formats: Sequence[str] | None
) -> Image.Image:
    if is_heif(header):
        _register_heif()
    file.seek(0)
    held = None if formats is None else tuple(formats)
    try:
        return Image.open(file, formats=held)
    except ValueError:
        lean = without_texts(file)
        if lean is None:
            raise
        return Image.open(lean, formats=held)


def without_texts(file: File) -> io.BytesIO | None:
    """Return a PNG file without texts and colour profile; None of other files."""
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        return None
    kept = io.BytesIO(_SIGNATURE)
    kept.seek(8)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[:4], "big") + 4  # and its checksum
        if head[4:] in _TEXTS:
            file.seek(length, 1)
        else:
            kept.write(head + file.read(length))
    kept.seek(0)
    return kept


def _register_heif() -> None:
    """Let Pillow read HEIC where the extra `[heif]` is installed."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
