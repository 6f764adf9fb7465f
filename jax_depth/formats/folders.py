"""Which files of a folder are photos: the only list of suffixes, the only search."""

import itertools
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

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
    for place, links, files in _walked(root, recursive, follow_links, skip, refused):
        for name in links:
            path = Path(place, name)
            yield path, f"'{path}' is a link to a folder; give it by its own name"
        for name in files:
            suffix = _suffix(name)
            if suffix in PHOTO_SUFFIXES:
                yield Path(place, name), None
            elif suffix in _UNREAD_SUFFIXES:
                path = Path(place, name)
                yield path, f"'{path}' {unread_kind(path, b'')}"
    for error in refused:
        yield Path(error.filename), _refusal(error)


def photo_names(root: Path) -> tuple["Names", list[str]]:
    """Search a folder and all below it, linked folders too, for millions of photos.

    Returns:
        Their paths relative to the folder, as text in the order of `sorted`; and a
        sentence for each file that is left out, as of `photos_in`.
    """
    base, parts, left_out = os.fspath(root), [], []
    refused: list[OSError] = []
    for place, _, files in _walked(root, True, True, None, refused):
        photos = [name for name in files if _suffix(name) in PHOTO_SUFFIXES]
        if len(photos) < len(files):
            for name in files:
                if _suffix(name) in _UNREAD_SUFFIXES:
                    path = Path(place, name)
                    left_out.append(f"'{path}' {unread_kind(path, b'')}")
        if photos:
            below = Path(os.path.relpath(place, base)).as_posix()
            prefix = "" if below == "." else f"{below}/"
            parts.append((prefix, Names([prefix + name for name in photos])))
    left_out += map(_refusal, refused)
    parts.sort(key=lambda part: part[0])
    # A folder below another one's photos stands somewhere among them.
    before = itertools.pairwise(prefix for prefix, _ in parts)
    if any(second.startswith(first) for first, second in before):
        return Names(sorted(name for _, part in parts for name in part)), left_out
    return Names.joined([part for _, part in parts]), left_out


class Names(Sequence[str]):
    """Many texts in little memory: their bytes, and eight a text for where each ends.

    Args:
        texts: of which each may hold anything a file's name may.
    """

    def __init__(self, texts: Iterable[str] = ()):
        encoded = [os.fsencode(text) for text in texts]
        self._bytes = b"".join(encoded)
        self._ends = array("q", itertools.accumulate(map(len, encoded)))

    @classmethod
    def joined(cls, parts: Sequence["Names"]) -> "Names":
        """Return the texts of all parts in turn."""
        made, start = cls(), 0
        made._bytes = b"".join(part._bytes for part in parts)
        for part in parts:
            made._ends.extend(end + start for end in part._ends)
            start += len(part._bytes)
        return made

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: Any) -> Any:
        """Return a text, or those of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._bytes[start : self._ends[index]])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return self._bytes == other._bytes and self._ends == other._ends
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # type: ignore[assignment]


def _refusal(error: OSError) -> str:
    return f"the folder '{error.filename}' cannot be read: {error.strerror}"


def _suffix(name: str) -> str:
    # Without a dot it is the last letter, which no suffix is.
    return name[name.rfind(".") :].lower()


def _walked(
    root: Path,
    recursive: bool,
    follow_links: bool,
    skip: Path | None,
    refused: list[OSError],
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield folders, in each the links to folders that are not followed, and files.

    Sorted, nothing hidden among them. `refused` gets the errors of folders that cannot
    be listed.
    """
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
        links = []
        if not follow_links:
            links = [name for name in folders if os.path.islink(f"{place}/{name}")]
        files.sort()
        yield place, links, [name for name in files if name[0] != "."]
