"""What a file is that Pillow cannot show as the photo it stands for, in one sentence.

Told by the first bytes where they are a signature, else by the name: a file that was
renamed is still called what it is.
"""

from pathlib import Path

# Sensor data. Pillow opens those that are TIFF inside and shows the small preview in
# front, so they are refused by name as well as by content (`tiff_pictures`).
RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw "
    ".orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
# Photos and renders of formats that neither Pillow nor an extra here reads.
OTHER_SUFFIXES = frozenset(".exr .hdr .jxl .jxr .pic .psb .wdp .xcf".split())
HEIF_SUFFIXES = frozenset(".heic .heics .heif .hif".split())

_RAW = "develop it to JPEG, PNG or TIFF first (darktable, RawTherapee or rawpy)"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb")


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
    if is_heif(header) or suffix in HEIF_SUFFIXES:
        return (
            "is a HEIC photo (HEIF), which takes the package pillow-heif: pip install "
            "'jax-depth[heif]', or export it as JPEG"
        )
    if is_raw(path, header):
        return f"is a camera raw file, which is not read; {_RAW}"
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


def is_raw(path: Path, header: bytes) -> bool:
    """Tell whether a file is a camera's raw data by its name or first bytes."""
    return (
        path.suffix.lower() in RAW_SUFFIXES
        or header.startswith(_RAW_SIGNATURES)
        or header[8:10] == b"CR"  # Canon's CR2, a TIFF
        or header[4:12] == b"ftypcrx "  # and CR3
    )
