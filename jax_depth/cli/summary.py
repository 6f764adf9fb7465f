"""`--json` for every subcommand: one JSON document on stdout instead of text.

A command calls `conclude` with what it did, in both forms. `main` declares the option
where a command does not, and makes a document of whatever such a command printed; it
also turns the sentence of an error into {"error": ...}. The shapes are in
docs/scripting.md.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jax_depth.formats.printable import printable

_HELP = "print one JSON document on stdout (docs/scripting.md)"


def add_json_argument(parser: argparse._ActionsContainer) -> None:
    """Declare `--json` for a command that ends in `conclude`."""
    parser.add_argument("--json", action="store_true", help=_HELP)


def conclude(
    args: argparse.Namespace,
    document: Mapping[str, Any] | Sequence[Any],
    text: str | None,
) -> None:
    """Print what was done: the document with --json, else the text.

    Args:
        args: of the command line; `json` is used.
        document: of what `json` can write.
        text: for people, without the last newline; None for nothing to say.
    """
    if args.json:
        say(json.dumps(document, indent=2))
    elif text is not None:
        say(printable(text, "\n\t"))


def say(text: str) -> None:
    """Print on stdout, where nobody may be reading any more.

    The work is done: the exit code reflects that, not `| head`.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more at exit, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_to(parser: argparse.ArgumentParser) -> bool:
    """Declare `--json` for a command that does not; tell whether it was missing."""
    if "--json" in parser._option_string_actions:
        return False
    add_json_argument(parser)
    return True


def as_document(run: Callable[[argparse.Namespace], int]) -> Callable[..., int]:
    """Return a command without `--json` of its own, which honours it all the same.

    The document is {"exit_code": 0, "output": [lines on stdout]}.
    """

    def wrapped(args: argparse.Namespace) -> int:
        if not args.json:
            return run(args)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = run(args)
        conclude(
            args, {"exit_code": code, "output": printed.getvalue().splitlines()}, None
        )
        return code

    return wrapped


def fail(args: argparse.Namespace, sentence: str) -> None:
    """Print the sentence of an error on stderr, and with --json as a document too."""
    print(printable(f"jax-depth: {args.command}: {sentence}"), file=sys.stderr)
    # `bench --json FILE` writes a file; without FILE it is "-".
    if getattr(args, "json", None) is True or str(getattr(args, "json", "")) == "-":
        print(json.dumps({"error": sentence}, indent=2))
