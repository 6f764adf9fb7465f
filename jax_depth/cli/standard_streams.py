"""`jax-depth predict - -o -`: a photo on standard input, its depth on output."""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from jax_depth.cli.photos import find_photos
from jax_depth.cli.usage import UsageError


@contextlib.contextmanager
def stdin_file(words: Sequence[str]) -> Iterator[Path | None]:
    """Yield a file of what comes on standard input, if a word is `-`.

    Readers want a file: they look at its head and its EXIF data before its pixels.
    """
    if "-" not in words:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="jax_depth_") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def check_stdout(
    args: argparse.Namespace, words: Sequence[str], formats: Sequence[str]
) -> None:
    """Check that there is one result, and that standard output is free for it.

    Raises:
        UsageError: that is not the case.
    """
    if len(formats) != 1:
        raise UsageError(
            f"-o - writes one file; give one --format, not {','.join(formats)}"
        )
    if args.json:
        raise UsageError("-o - writes the result to standard output; leave --json out")
    if sys.stdout.isatty():
        raise UsageError(
            "-o - writes the bytes of a file, which a terminal cannot show; redirect "
            "them with > FILE"
        )
    found = find_photos(words, args.outdir, stdin=Path("stdin"))
    if (count := sum(map(len, found))) != 1:
        raise UsageError(f"-o - writes the depth of a single photo, not of {count}")


@contextlib.contextmanager
def stdout_folder(args: argparse.Namespace) -> Iterator[None]:
    """Let results go to a folder of their own, and from there to standard output.

    Args:
        args: whose `outdir` and `quiet` are set.
    """
    with tempfile.TemporaryDirectory(prefix="jax_depth_") as folder:
        args.outdir, args.quiet = Path(folder), True
        yield
        for path in Path(folder).rglob("*.*"):
            with path.open("rb") as result:
                shutil.copyfileobj(result, sys.stdout.buffer)
        sys.stdout.buffer.flush()
