"""What a file is that Pillow does not show as the photo it holds.

Told by the first bytes where they are a signature, else by the name: a file that was
renamed is still called what it is.
"""

from pathlib import Path

from PIL import Image

from jax_depth.formats.tiff_pictures import File

# Sensor data. Pillow opens those that are TIFF inside and shows the small preview in
# front, so they are refused by name as well as by content (`tiff_pictures`).
RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw "
    ".orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
# Photos and renders of formats that neither Pillow nor an extra here reads.
OTHER_SUFFIXES = frozenset(".exr .hdr .jxl .jxr .pic .psb .wdp .xcf".split())
HEIF_SUFFIXES = frozenset(".heic .heics .heif .hif".split())

CAMERA_RAW = (
    "is a camera raw file, which is not read; develop it to JPEG, PNG or TIFF first "
    "(darktable, RawTherapee or rawpy)"
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb")
_RAW_SIGNATURES += (b"\0MRM", b"II\x1a\0\0\0HEAP")

_FILM = "is a video; `jax-depth video` takes it"
_DRAWING = "is a drawing, not a photo; export it as PNG"
_PAGE = "is a web page, saved in place of a picture; download the picture again"
# What a file begins with, from which byte on. Pillow opens some of these as well, to
# start Ghostscript or to say that it has no decoder.
_SIGNATURES = (
    (0, b"version https://git-lfs", "is a pointer of Git LFS; run `git lfs pull`"),
    (0, b"%!PS", _DRAWING),
    (0, b"\xc5\xd0\xd3\xc6", _DRAWING),
    (0, b"\xd7\xcd\xc6\x9a", _DRAWING),
    (0, b"<svg", _DRAWING),
    (0, b"<?xml", _DRAWING),
    (0, b"%PDF", "is a PDF document; export its page as PNG"),
    (0, b"<!DOCTYPE html", _PAGE),
    (0, b"<!doctype html", _PAGE),
    (0, b"<html", _PAGE),
    (0, b"PK\3\4", "is a zip archive; unpack it"),
    (0, b"\x93NUMPY", "is a NumPy array; save it as PNG, or give the array itself"),
    (0, b"\x89HDF", "is an HDF5 file; save its picture as PNG"),
    (0, b"GRIB", "is a file of weather data; save its picture as PNG"),
    (0, b"BUFR", "is a file of weather data; save its picture as PNG"),
    (0, b"II\xbc\1", "is a JPEG XR picture, which is not read; save it as PNG"),
    (0, b"P7\n", "is a PAM picture, which is not read; save it as PNG or PPM"),
    (0, b"PF\n", "is a PFM of linear colours; tone-map it and save it as PNG"),
    (0, b"gimp xcf", "is a GIMP file, which is not read; export it as PNG"),
    (0, b"\x1a\x45\xdf\xa3", _FILM),
    (0, b"\0\0\1\xba", _FILM),
    (0, b"\0\0\1\xb3", _FILM),
    (0, b"FLV\1", _FILM),
    (8, b"AVI LIST", _FILM),
    *((4, b"ftyp" + brand, _FILM) for brand in (b"isom", b"iso", b"mp4", b"qt  ")),
    *((4, b"ftyp" + brand, _FILM) for brand in (b"M4V", b"3gp", b"avc1", b"dash")),
)


def is_heif(header: bytes) -> bool:
    """Tell whether a file's first 32 bytes are those of HEIC or HEIF (not AVIF)."""
    brands = [header[8:12], *(header[k : k + 4] for k in range(16, 32, 4))]
    return header[4:8] == b"ftyp" and (
        brands[0] in _HEIF_BRANDS[:6]
        or (brands[0] in _HEIF_BRANDS and b"avif" not in brands)
    )


def unread_kind(path: Path, header: bytes) -> str | None:
    """Return what a file is and how to get at its picture; None if it is nothing known.

    Args:
        path: the file; only its name is looked at.
        header: its first 32 bytes.

    Returns:
        The end of a sentence that begins with the file's name: "is a ...; ...".
    """
    suffix = path.suffix.lower()
    told = by_signature(header)
    if told is not None:
        return told
    if is_heif(header) or suffix in HEIF_SUFFIXES:
        return (
            "is a HEIC photo (HEIF), which takes the package pillow-heif: pip install "
            "'jax_depth[heif]', or export it as JPEG"
        )
    if is_raw(path, header):
        return CAMERA_RAW
    if header.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")) or suffix == ".jxl":
        return "is a JPEG XL picture, which is not read; convert it to PNG or JPEG"
    if header.startswith(b"v/1\x01") or suffix == ".exr":
        return (
            "is an OpenEXR picture, whose linear light has no fixed white; tone-map it "
            "and save it as PNG or JPEG"
        )
    if header.startswith((b"#?RADIANCE", b"#?RGBE")) or suffix in (".hdr", ".pic"):
        return (
            "is a Radiance HDR picture, whose linear light has no fixed white; "
            "tone-map it and save it as PNG or JPEG"
        )
    if suffix in OTHER_SUFFIXES:
        return f"is a {suffix[1:].upper()} file, which is not read; save it as PNG"
    return None


def by_signature(header: bytes) -> str | None:
    """Return `unread_kind` if the first 32 bytes are not a photo's, or None."""
    for at, signature, sentence in _SIGNATURES:
        if header.startswith(signature, at):
            return sentence
    return None


def jpeg_kind(file: File) -> str | None:
    """Return what a JPEG is that decoders of photos do not know; None of others.

    ITU T.81, table B.1: the marker before the frame says how it is coded.
    """
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return None
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker in (0xC3, 0xF7, *range(0xC5, 0xC8), *range(0xC9, 0xD0)) and (
            marker != 0xCC  # a table
        ):
            what = {0xC3: "without loss", 0xF7: "as JPEG-LS"}.get(
                marker, "in a rare way"
            )
            return f"is a JPEG coded {what}, which is not read; save it as PNG"
        if marker in (0xC0, 0xC1, 0xC2):
            bits = file.read(1)
            if bits in (b"\x08", b""):
                return None
            return f"is a JPEG of {bits[0]} bits, which is not read; save it as PNG"
        file.seek(length - 2, 1)
    return None


def kind_of_open_jpeg(image: Image.Image) -> str | None:
    """Return `jpeg_kind` of the file behind an image that is not loaded."""
    stream = getattr(image, "fp", None)
    return None if stream is None or stream.closed else jpeg_kind(stream)


def is_raw(path: Path, header: bytes) -> bool:
    """Tell whether a file is a camera's raw data by its name or first bytes."""
    return (
        path.suffix.lower() in RAW_SUFFIXES
        or header.startswith(_RAW_SIGNATURES)
        or header[8:10] == b"CR"  # Canon's CR2, a TIFF
        or header[4:12] == b"ftypcrx "  # and CR3
    )
