"""Exit codes, the error behind one of them, the output folder, types of arguments."""

import argparse
import contextlib
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

INTERRUPTED = 130  # 128 + SIGINT, as shells count
STOPPED = 75  # EX_TEMPFAIL of sysexits.h: a run to resume


class UsageError(Exception):
    """The command was called wrongly: one sentence for the user, exit code 2."""


def end_now(code: int) -> None:
    """End the process now: XLA cannot be interrupted, and Python would wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def loading_models() -> Iterator[None]:
    """Make what is raised inside the error of a model that cannot be loaded.

    Raises:
        UsageError: in place of a ValueError or an OSError.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        sentence = str(error)
        if isinstance(error, OSError) and error.strerror:
            where = f"{error.filename!r}: " if error.filename else ""
            sentence = f"the model cannot be read: {where}{error.strerror}"
        raise UsageError(sentence) from None


def make_folder(outdir: Path) -> None:
    """Make the output folder and test it, before loading a model in vain.

    Raises:
        UsageError: it cannot be written to.
    """
    probe = outdir / f".{secrets.token_hex(8)}.tmp"
    try:
        outdir.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror
        if outdir.is_symlink() and not outdir.exists():
            reason = f"it is a link to {str(outdir.readlink())!r}, which is not there"
        raise UsageError(
            f"the output folder '{outdir}' cannot be written to: {reason}"
        ) from None


def names_among(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return an argument type: comma-separated names, each one of `known`."""
    known = tuple(known)

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is unknown; known: {', '.join(known)}"
                )
        return list(dict.fromkeys(names))

    return parse


def number(possible: Callable[[float], bool], what: str) -> Callable[[str], float]:
    """Return an argument type: a number; `what` names the possible ones in messages."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not possible(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


def positive(text: str) -> int:
    """Return a whole number above 0: an argument type."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def side_or_sides(text: str) -> tuple[int, int]:
    """Return height and width of "518" or "518x686": an argument type."""
    sides = text.lower().split("x")
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a side nor HxW")
    height, *rest = map(positive, sides)
    return height, rest[0] if rest else height
