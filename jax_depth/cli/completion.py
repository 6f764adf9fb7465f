"""`jax-depth completion`: what a shell needs to complete commands and options.

shtab writes the script; this gives it a parser that holds every subcommand, and says
which words are files and which are names of models.
"""

import argparse
import importlib

from jax_depth.cli.usage import UsageError
from jax_depth.formats.optional import optional_module

SHELLS = ("bash", "zsh", "fish", "tcsh")
_FILES = ("PATH", "FILE", "FILE.md", "SRC", "DST", "PHOTOS", "VIDEO", "INPUT")
_FOLDERS = ("DIR", "FOLDER", "OUTDIR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "shell",
        choices=SHELLS,
        help='bash: eval "$(jax-depth completion bash)" in ~/.bashrc; zsh: '
        "redirect the output to a file _jax-depth in a folder of $fpath; "
        "fish: to ~/.config/fish/completions/jax-depth.fish; tcsh: source "
        "it in ~/.tcshrc",
    )


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    try:
        shtab = optional_module("shtab", "completion needs", "completion")
    except ValueError as error:
        raise UsageError(str(error)) from None
    from jax_depth.cli.main import COMMANDS, build_parser

    parser, commands = build_parser()
    for name in COMMANDS:
        importlib.import_module(f"jax_depth.cli.{name}").add_arguments(commands[name])
        _describe(commands[name], shtab)
    print(shtab.complete(parser, args.shell), end="")
    return 0


def _describe(parser: argparse.ArgumentParser, shtab) -> None:
    """Say of every option what its value is, where that is a file or a model."""
    from jax_depth.catalog import MODELS

    for action in parser._actions:
        if action.nargs == 0 or action.choices is not None:
            continue
        name = str(action.metavar or action.dest).upper()
        if action.dest == "model" or name == "MODEL":
            action.choices = list(MODELS)
        elif name in _FILES:
            action.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]
        elif name in _FOLDERS:
            action.complete = shtab.DIR  # pyright: ignore[reportAttributeAccessIssue]
