"""Entry point of `jax-depth`: finds the subcommand, turns errors into sentences."""

import argparse
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jax_depth import __version__
from jax_depth.cli import summary
from jax_depth.cli.photos import add_size_limit
from jax_depth.cli.usage import INTERRUPTED, UsageError
from jax_depth.formats.printable import printable

# Name -> line in the help. The module of the same name is imported only when its
# command is called, so that `jax-depth --help` answers at once, without jax.
COMMANDS = {
    "predict": "estimate depth of photos: files, folders, globs",
    "video": "estimate depth of videos: files, frames, a camera, a pipe",
    "views": "build one scene, with cameras, from photos or a clip of a place",
    "scene": "turn photos into meshes, point clouds and stereo pairs",
    "convert": "convert published weights to this library's format, and back",
    "quantize": "quantise a model to int8 for CPUs, and say what that costs",
    "export": "write a model as a file for another process or another runtime",
    "label": "label photos with the depth of a larger model, as training data",
    "train": "train, fine-tune or distil a model by a named recipe",
    "bench": "find the fastest engine, dtype and batch for a model on this machine",
    "compare": "compare models on the same photos: ranges and agreement, as a report",
    "eval": "score a model by a published protocol",
    "calibrate": "find a model's usual range on your pictures, for `predict --range`",
    "app": "run the web app, and depth over HTTP",
    "models": "list the models that load by name",
    "completion": "print a completion script for bash, zsh, fish or tcsh",
}

# Arguments that are paths though kept as text -> what messages call them.
_TEXTS = {"source": "SOURCE", "to": "--to", "to_hub_folder": "--to-hub-folder"}

READING_PHOTOS = (
    "predict",
    "scene",
    "label",
    "compare",
    "calibrate",
    "quantize",
    "eval",
    "video",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the words after `jax-depth`; those of this process when None.

    Returns:
        0 all done, 1 some inputs failed, 2 wrong usage, 75 a training run to be
        resumed, 130 interrupted. A user's mistake gives one sentence on stderr, never a
        traceback.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # Names need not be of the terminal's character set.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = _parse(argv)
    except SystemExit as end:  # argparse leaves this way, with 0 or 2
        return int(end.code or 0)
    except KeyboardInterrupt:  # while the command is imported
        _complain("interrupted")
        return INTERRUPTED
    with warnings.catch_warnings():
        warnings.showwarning = _notes()
        warnings.filterwarnings("default", category=UserWarning, module="jax_depth")
        try:
            _refuse_addresses(args)
            return args.run(args)
        except UsageError as error:
            summary.fail(args, str(error))
            return 2
        except (ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                return _end_of_pipe()
            summary.fail(args, _sentence(error))
            return 1
        except KeyboardInterrupt:
            summary.fail(args, "interrupted")
            return INTERRUPTED


def build_parser() -> tuple[
    argparse.ArgumentParser, dict[str, argparse.ArgumentParser]
]:
    """Return the parser and those of its subcommands, which have no options yet."""
    parser = _Parser(
        prog="jax-depth", description="Depth Anything in JAX: a photo in, depth out."
    )
    version = f"%(prog)s {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    return parser, {
        name: commands.add_parser(name, help=line, description=f"{line}.")
        for name, line in COMMANDS.items()
    }


class _Parser(argparse.ArgumentParser):
    """One whose complaints show words of the command line, and do not obey them."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and end with code 2."""
        super().error(printable(message))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments, with `run` and `command` among them."""
    parser, parsers = build_parser()
    name = argv[0] if argv else None
    if name not in parsers:
        return parser.parse_args(argv)  # --help, --version or a mistake: it exits
    module = importlib.import_module(f"jax_depth.cli.{name}")
    module.add_arguments(parsers[name])
    if name in READING_PHOTOS:
        add_size_limit(parsers[name])
    missing = summary.add_to(parsers[name])
    # Intermixed, so that `predict a.jpg -o out b.jpg` means what it says.
    args = parsers[name].parse_intermixed_args(_after_dashes(argv[1:]))
    args.command = name
    if getattr(args, "max_megapixels", None) is not None:
        # Late: this imports Pillow and NumPy, which the help does without.
        from jax_depth.formats import allow_megapixels

        allow_megapixels(args.max_megapixels)
    args.run = summary.as_document(module.run) if missing else module.run
    return args


def _refuse_addresses(args: argparse.Namespace) -> None:
    """Refuse an address where a path is wanted, before a folder of that name is made.

    Raises:
        UsageError: it names the option.
    """
    for name, value in vars(args).items():
        if isinstance(value, Path) or (name in _TEXTS and value):
            from jax_depth.formats.address import local

            try:
                local(value, _TEXTS.get(name, f"--{name.replace('_', '-')}"))
            except ValueError as error:
                raise UsageError(str(error)) from None


def _after_dashes(words: Sequence[str]) -> list[str]:
    """Return the words with `./` before those behind `--` that begin with a dash.

    `parse_intermixed_args` forgets the `--` between its two passes.
    """
    words = list(words)
    if "--" not in words:
        return words
    at = words.index("--")
    paths = [f"./{w}" if w.startswith("-") and w != "-" else w for w in words[at + 1 :]]
    return [*words[: at + 1], *paths]


def _complain(sentence: str) -> None:
    print(printable(f"jax-depth: {sentence}"), file=sys.stderr)


def _sentence(error: Exception) -> str:
    """Return what an error says; of one from the system its file and its reason."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"'{os.fsdecode(error.filename)}': {error.strerror}"
    return str(error)


def _notes() -> Callable[..., None]:
    """Return what prints warnings, each text once.

    Python's own memory of what it has shown is lost wherever a reader ignores a
    warning for a while.
    """
    printed: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in printed:
            printed.add(str(message))
            _complain(f"note: {message}")

    return show


def _end_of_pipe() -> int:
    """Leave quietly when the reader of a pipe, such as `head`, has gone."""
    # Python flushes stdout once more at exit, into nothing.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
