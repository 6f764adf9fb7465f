"""TIFF files that Pillow reads as something else, or not at all.

TIFF 6.0 lets samples lie plane after plane, count down from white, be signed or float,
and lets a file begin with a thumbnail. Pillow decodes 8 bits of all that and 16 bits of
some; the rest comes out garbled, negative or refused without a reason. Those files are
read by `tifffile`, the extra `[tiff]`, or refused.
"""

import io
import logging
import math
import struct
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

import numpy as np
from jaxtyping import Shaped
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

Tags = dict[int, tuple]
# For a checker of types at run time a BytesIO, which has no name, is no BinaryIO.
File: TypeAlias = BinaryIO | io.BytesIO

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = (
    256,
    257,
    258,
    259,
    262,
    274,
)
_COUNT, _PLANAR, _FORMAT = 277, 284, 339
_SUBFILE, _DESCRIPTION, _SUB_DIRECTORIES, _DNG = 254, 270, 330, 50706
_EXTRA = 338
_READ = (
    *(
        _WIDTH,
        _HEIGHT,
        _BITS,
        _COMPRESSION,
        _PHOTOMETRIC,
        _ORIENTATION,
        _COUNT,
        _PLANAR,
    ),
    *(_FORMAT, _SUBFILE, _DESCRIPTION, _SUB_DIRECTORIES, _DNG, _EXTRA),
)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_WEBP = 50001
# Of sensors: a mosaic of colour filters, and linear colours (DNG 1.7); and how Nikon,
# Sony, Pentax, Samsung and Kodak pack them.
_RAW_COLOURS = (32803, 34892)
_RAW_COMPRESSIONS = (32767, 32769, 32770, 32867, 34713, 65000, 65535)
# Directories in which they are looked for: cameras write up to five.
_LOOKED_AT = 8
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_KINDS = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "float"}


def first_directory(file: File) -> Tags | None:
    """Return what a TIFF file says of its first picture; None if it is not a TIFF.

    Pillow's own parser, without decoding a pixel: a file whose pixels Pillow does not
    know has tags all the same. A directory that is damaged is left to Pillow's reader.
    """
    return next(_directories(file), None)


def is_camera_raw(file: File) -> bool:
    """Tell whether a TIFF file holds the data of a sensor, whatever it is called."""
    return any(
        _DNG in tags
        or _colours(tags) in _RAW_COLOURS
        or tags.get(_COMPRESSION, (1,))[0] in _RAW_COMPRESSIONS
        for tags in _directories(file)
    )


def _directories(file: File) -> Iterator[Tags]:
    """Yield what a TIFF says of its first pictures; nothing of other files.

    The first one comes first. One that is damaged ends them.
    """
    file.seek(0)
    header = file.read(8)
    if header[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return
    if b"+" in header[2:4]:  # BigTIFF
        header += file.read(8)
    prefix = header[:2]
    if is_big_endian_bigtiff(header):
        # Pillow looks for the version in the low byte of little-endian files only.
        header = b"II+\0" + header[4:]
    try:
        directory = ImageFileDirectory_v2(header, prefix=prefix)
        places = [directory.next or 0]
        for _ in range(_LOOKED_AT):
            if not places:
                return
            file.seek(places.pop(0))
            directory.load(file)
            tags = _chosen(directory)
            places += [
                place
                for place in (*tags.get(_SUB_DIRECTORIES, ()), directory.next)
                if isinstance(place, int) and place > 0
            ]
            yield tags
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):
        return


def is_big_endian_bigtiff(header: bytes) -> bool:
    """Tell whether a TIFF is of a kind that Pillow takes for a damaged one."""
    return header.startswith(b"MM\0+")


def tags_of(image: TiffImageFile) -> Tags:
    """Return what `first_directory` does, of the current page of an open TIFF."""
    return _chosen(image.tag_v2)


def _chosen(directory: ImageFileDirectory_v2) -> Tags:
    values = {tag: directory[tag] for tag in _READ if tag in directory}
    tuples = {k: v if isinstance(v, tuple) else (v,) for k, v in values.items()}
    return {k: v for k, v in tuples.items() if v}


def not_the_photo(tags: Tags) -> str | None:
    """Return why the first picture is not the photo; None where it is.

    Camera raw files keep a preview in front (NewSubfileType 1) and the sensor's data
    behind it (DNG specification 1.7, chapter 2).
    """
    if _DNG in tags:
        what = "is a camera raw file (DNG), which is not read: it begins with a preview"
    elif tags.get(_SUBFILE, (0,))[0] & 1:
        what = (
            "begins with a thumbnail (NewSubfileType 1), as camera raw files do, and "
            "the photo behind it is not read"
        )
    else:
        return None
    return f"{what}; develop it to JPEG, PNG or TIFF first (darktable, RawTherapee)"


def largest(tags: Tags) -> int:
    """Return the value of white in what Pillow makes of wide unsigned samples.

    It widens 12 bits to 16 without scaling them.
    """
    bits = max(tags.get(_BITS, (1,)))
    return (1 << bits) - 1 if bits in range(9, 16) else 65535


def needs_tifffile(tags: Tags) -> bool:
    """Tell whether Pillow would give other pixels than the file's, or none."""
    bits = max(tags.get(_BITS, (1,)))
    count = tags.get(_COUNT, (1,))[0]
    if count > 2 and _colours(tags) <= _BLACK_IS_ZERO:
        return True
    packed = tags.get(_COMPRESSION, (1,))[0] != 1
    if _colours(tags) == _YCBCR and not packed:
        return True
    if tags.get(_COMPRESSION, (1,))[0] == _WEBP:
        return True
    numbers = max(tags.get(_FORMAT, (_UNSIGNED,)))
    if numbers == _SIGNED or bits > 32 or (numbers == _FLOAT and bits != 32):
        return True
    if numbers == _FLOAT:
        # Pillow swaps the bytes of compressed big-endian floats, which libtiff has
        # swapped already.
        return count > 1 or packed or _white_is_zero(tags)
    if bits > 16 or bits in (9, 10, 11, 13, 14, 15):
        return True
    if bits > 8:
        planes = count > 1 and tags.get(_PLANAR, (1,))[0] == 2
        return planes or count in (2, 5, 6) or _white_is_zero(tags)
    planes = tags.get(_PLANAR, (1,))[0] == 2
    multiplied = tags.get(_EXTRA, (0,))[0] == 1  # by alpha
    return count == 2 or (planes and (count > 4 or (count > 3 and multiplied)))


def size(tags: Tags) -> tuple[int, int]:
    """Return (width, height)."""
    return tags.get(_WIDTH, (0,))[0], tags.get(_HEIGHT, (0,))[0]


def orientation(tags: Tags) -> int:
    """Return the EXIF orientation; 1 is upright."""
    return tags.get(_ORIENTATION, (1,))[0]


def read_tiff_picture(
    file: File, tags: Tags, label: str
) -> Shaped[np.ndarray, "h w c"]:
    """Read the first picture of a TIFF file with `tifffile`.

    Args:
        file: open for reading.
        tags: what `first_directory` said of it.
        label: what error messages call it.

    Returns:
        (h, w, 1) or (h, w, 3): uint8, uint16, or float32 as stored; integers of other
        than 8 and 16 bits as float32 in [0, 1]. 0 is black; alpha is dropped, and
        colours that are stored multiplied by it are divided by it, as Pillow does.

    Raises:
        ValueError: the samples are signed, or of a colour model other than RGB and
            grayscale, or there are more than Pillow's guard allows.
        OSError: `tifffile` is missing, or cannot decode the file.
    """
    colours, numbers = _colours(tags), max(tags.get(_FORMAT, (_UNSIGNED,)))
    wide = max(tags.get(_BITS, (1,))) > 64
    if numbers not in (_UNSIGNED, _FLOAT) or colours > _RGB or wide:
        raise ValueError(
            f"{label} is a TIFF of {_kind(tags)} samples (PhotometricInterpretation "
            f"{colours}), which cannot be taken for RGB or grayscale; convert it to "
            "8-bit RGB or 16-bit grayscale"
        )
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    pixels = math.prod(size(tags))
    if limit and pixels > limit:
        raise Image.DecompressionBombError(f"Image size ({pixels} pixels)")
    array, count = samples(file, tags, label), 3 if colours == _RGB else 1
    alpha, array = array[:, :, count : count + 1], array[:, :, :count]
    if alpha.size and tags.get(_EXTRA, (0,))[0] == 1 and colours != _WHITE_IS_ZERO:
        bits = max(tags.get(_BITS, (1,)))
        array = _straight(array, alpha, 2**bits - 1 if numbers == _UNSIGNED else 1)
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    if array.dtype.kind == "u":
        bits = max(tags.get(_BITS, (1,)))
        if bits not in (1, 8, 16):
            array = (array / (2**bits - 1)).astype(np.float32)
    if colours == _WHITE_IS_ZERO:
        white = 1 if array.dtype.kind == "f" else 2 ** (8 * array.itemsize) - 1
        array = array.dtype.type(white) - array
    return array


def _straight(
    array: Shaped[np.ndarray, "h w c"], alpha: Shaped[np.ndarray, "h w 1"], white: int
) -> Shaped[np.ndarray, "h w c"]:
    """Undo the multiplication of colours by their alpha; where that is 0 they stay."""
    # Light above white is left as it is: it is refused further on.
    divisor = np.where((alpha > 0) & (array <= white), np.maximum(alpha, array), white)
    straight = array.astype(np.float64) * (white / divisor.astype(np.float64))
    whole = array.dtype.kind == "u"
    return np.rint(straight).astype(array.dtype) if whole else straight


def samples(file: File, tags: Tags, label: str) -> Shaped[np.ndarray, "h w c"]:
    """Return the samples of the first picture as they are stored.

    Raises:
        ValueError: it has no pixels.
        OSError: `tifffile` is missing, or cannot decode the file.
    """
    try:
        import tifffile
    except ImportError:
        raise OSError(
            f"{label} is a TIFF of {_kind(tags)} samples that Pillow reads wrongly; "
            "pip install 'jax_depth[tiff]' reads it, or convert it to 8-bit RGB"
        ) from None
    # What it says about a damaged file is in the message below.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            # What has no place in the file it would fill with zeros.
            missing = math.prod(page.chunked) - sum(
                bool(offset and count)
                for offset, count in zip(
                    page.dataoffsets, page.databytecounts, strict=False
                )
            )
            if missing:
                raise OSError(f"{missing} of its strips or tiles are missing")
            array, axes = page.asarray(maxworkers=1), page.axes
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OSError(
            f"{label} is a TIFF that cannot be decoded ({reason}); replace the file, "
            "or save it without compression"
        ) from error
    if not array.size:
        raise ValueError(f"{label} has no pixels: shape {array.shape}")
    if axes == "SYX":
        array = np.moveaxis(array, 0, 2)
    return array.reshape(*array.shape[:2], -1)


def _kind(tags: Tags) -> str:
    bits, numbers = max(tags.get(_BITS, (1,))), max(tags.get(_FORMAT, (_UNSIGNED,)))
    return f"{_KINDS.get(numbers, 'untyped')} {bits}-bit"


def _colours(tags: Tags) -> int:
    return tags.get(_PHOTOMETRIC, (_BLACK_IS_ZERO,))[0]


def _white_is_zero(tags: Tags) -> bool:
    return _colours(tags) == _WHITE_IS_ZERO
