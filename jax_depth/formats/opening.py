"""Opening a picture with Pillow: HEIC, and PNG whatever is written about their pixels.

Pillow refuses a PNG with a text or colour profile above a megabyte, since a small file
may unpack into much; profiles of printers have more.
"""

import io
from typing import BinaryIO

from PIL import Image

from jax_depth.formats.unread import is_heif

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"iCCP", b"zTXt", b"iTXt", b"tEXt")


def open_picture(file: BinaryIO, header: bytes) -> Image.Image:
    """Open a picture with Pillow.

    Args:
        file: open for reading, at its beginning.
        header: its first 32 bytes.

    Raises:
        Exception: whatever Pillow raises of a file that it does not open.
    """
    if is_heif(header):
        _register_heif()
    try:
        return Image.open(file)
    except ValueError:
        lean = without_texts(file)
        if lean is None:
            raise
        return Image.open(lean)


def without_texts(file: BinaryIO) -> BinaryIO | None:
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
