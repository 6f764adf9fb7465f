"""Which files of a folder are photos: the only list of suffixes, the only search."""

import os
from collections.abc import Iterator
from pathlib import Path

from jax_depth.formats.unread import OTHER_SUFFIXES, RAW_SUFFIXES, unread_kind

# HEIC is here although Pillow needs a plugin for it: it is read where that is
# installed, and named where it is not.
PHOTO_SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .heic .heif .hif .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx "
    ".mpo .pbm .pgm .png .pnm .ppm .qoi .tga .tif .tiff .webp".split()
)
_UNREAD_SUFFIXES = RAW_SUFFIXES | OTHER_SUFFIXES


def photos_in(
    root: Path,
    *,
    recursive: bool = True,
    follow_links: bool = False,
    skip: Path | None = None,
) -> Iterator[tuple[Path, str | None]]:
    """Search a folder and all below it for photos, sorted within each folder.

    Args:
        root: the folder. What is hidden (a name with a dot in front) is passed over.
        recursive: search what is below it too.
        follow_links: search linked folders too; each place is searched once.
        skip: a folder that is not searched: where results go.

    Yields:
        A photo and None; or something that could be taken for one (a camera raw file, a
        picture of a format that is not read, a linked folder that is not searched, one
        that cannot be listed) and the sentence that says so.
    """
    refused: list[OSError] = []
    searched: set[str] = set()
    skipped = None if skip is None else os.path.realpath(skip)
    for place, folders, files in os.walk(
        root, onerror=refused.append, followlinks=follow_links
    ):
        here = os.path.realpath(place)
        if here in searched:  # a link that leads back
            folders.clear()
            continue
        searched.add(here)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and os.path.realpath(os.path.join(place, name)) != skipped
        )
        if not recursive:
            folders.clear()
        for name in folders:
            path = Path(place, name)
            if not follow_links and path.is_symlink():
                yield path, f"'{path}' is a link to a folder; give it by its own name"
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() in PHOTO_SUFFIXES:
                yield path, None
            elif path.suffix.lower() in _UNREAD_SUFFIXES:
                yield path, f"'{path}' {unread_kind(path, b'')}"
    for error in refused:
        path = Path(error.filename)
        yield path, f"the folder '{path}' cannot be read: {error.strerror}"
