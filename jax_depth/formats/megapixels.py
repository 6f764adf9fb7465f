"""How large a picture may be: a guard against files that unpack into gigabytes."""

from PIL import Image


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
