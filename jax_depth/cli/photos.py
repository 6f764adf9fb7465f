"""Which photos the words of a command line mean, and what is to be made of each."""

import argparse
import dataclasses
import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jax_depth.cli.usage import UsageError, positive
from jax_depth.formats.folders import PHOTO_SUFFIXES, photos_in

_ADDRESS = re.compile(r"(https?|ftp)://", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Photo:
    """One input.

    Attributes:
        path: as the user would write it.
        root: the folder that was given, or the one the file lies in.
        file: where its bytes are, if that is not what it is called.
    """

    path: Path
    root: Path
    file: Path | None = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """An input that could not be used.

    Attributes:
        name: what it was called.
        sentence: what is wrong with it, naming it.
    """

    name: str
    sentence: str


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo and the file of each format it becomes.

    Attributes:
        photo: what it is called.
        results: format -> file.
        file: where its bytes are, if that is not what it is called.
    """

    photo: Path
    results: Mapping[str, Path]
    file: Path | None = None


class OutputFolderError(Exception):
    """Nothing more can be written; the message says why."""


def add_size_limit(parser: argparse.ArgumentParser) -> None:
    """Declare --max-megapixels, for every command that reads photos."""
    parser.add_argument(
        "--max-megapixels",
        type=positive,
        metavar="N",
        help="largest photo to read, in megapixels (default: 178, a guard "
        "against small files that unpack into gigabytes; reading one of 200"
        " takes about 2 GB)",
    )


def find_photos(
    words: Sequence[str], outdir: Path, stdin: Path | None = None
) -> tuple[list[Photo], list[Problem]]:
    """Return the photos that `words` mean, in order, each once.

    Args:
        words: files, folders (searched recursively for pictures, without hidden files
            and without `outdir`; what could be taken for a photo and is not read is a
            problem), globs, and `.txt` files with one of these a line. A file need
            not exist: reading it will say so.
        outdir: where results go.
        stdin: a file that holds what came on standard input, which the word `-` then
            means.

    Raises:
        UsageError: `outdir` is one of the folders to search.
    """
    photos: dict[str, Photo] = {}
    problems: list[Problem] = []
    for word in words:
        if stdin and word == "-":
            photos[word] = Photo(Path("stdin"), Path(), stdin)
            continue
        for found in _from_word(word, outdir):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                photos.setdefault(os.path.abspath(found.path), found)
    return list(photos.values()), problems


def _from_word(word: str, outdir: Path) -> Iterator[Photo | Problem]:
    if not (word.lower().endswith(".txt") and os.path.isfile(word)):
        yield from _from_line(word, outdir)
        return
    try:
        text = Path(word).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        yield Problem(word, f"'{word}' is not a text file of paths in UTF-8")
        return
    except OSError as error:
        yield Problem(word, f"'{word}' cannot be read: {error.strerror}")
        return
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        yield Problem(word, f"'{word}' lists no photo: it is empty")
    for line in lines:
        yield from _from_line(line, outdir)


def _from_line(word: str, outdir: Path) -> Iterator[Photo | Problem]:
    path = Path(word)
    if "\0" in word:  # from a list: the system would refuse to look
        yield Problem(word, f"{word!r} is not a file name; check the list")
    elif _ADDRESS.match(word):
        yield Problem(
            word,
            f"'{word}' is an address, and only local files are read; "
            f"download it first: curl -LO '{word}'",
        )
    elif os.path.isdir(word):
        yield from _from_folder(path, outdir)
    elif not os.path.lexists(word) and glob.has_magic(word):
        matches = sorted(glob.glob(word, recursive=True))
        if not matches:
            yield Problem(word, f"'{word}' matches no file")
        for match in matches:
            # `**` also matches folders, whose files it matches one by one.
            if not (os.path.isdir(match) and "**" in word):
                yield from _from_line(match, outdir)
    elif path.name:
        yield Photo(path, path.parent)
    else:
        yield Problem(word, "an empty path was given")


def _from_folder(root: Path, outdir: Path) -> Iterator[Photo | Problem]:
    results = os.path.realpath(outdir)
    if os.path.realpath(root) == results:
        raise UsageError(
            f"the output folder '{outdir}' is also searched for photos, so results "
            "would be taken for photos the next time; choose another with -o"
        )
    found = False
    for path, sentence in photos_in(root, skip=outdir):
        found = True
        yield Photo(path, root) if sentence is None else Problem(str(path), sentence)
    if not found:
        kinds = " ".join(sorted(PHOTO_SUFFIXES))
        yield Problem(
            str(root), f"the folder '{root}' holds no photos (looked for {kinds})"
        )
