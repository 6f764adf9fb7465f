"""`jax-depth convert`: published weights to this library's format, and back."""

import argparse
from pathlib import Path

_FILES = (".safetensors", ".pth", ".pt", ".bin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a .pth, .pt, .bin or .safetensors file as published, a transformers "
        "folder, or a native model directory",
    )
    parser.add_argument(
        "--to",
        metavar="DST",
        required=True,
        help="a new directory, or for the original layout a .safetensors or .pth file",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="which model SRC holds, a name that `jax-depth models` lists; needed "
        "where several share its keys",
    )
    parser.add_argument(
        "--layout",
        choices=("native", "original", "transformers"),
        help="what to write (default: original if DST ends in "
        f"{', '.join(_FILES)}, else native)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="how weights are stored (default: as in SRC)",
    )


def run(args: argparse.Namespace) -> int:
    """Convert, say what was written, and return the exit code."""
    import jax_depth_convert

    destination = Path(args.to)
    default = "original" if destination.suffix in _FILES else "native"
    layout = args.layout or default
    config = jax_depth_convert.convert(
        args.source, args.model, destination, to=layout, dtype=args.dtype
    )
    file = destination / "model.safetensors" if destination.is_dir() else destination
    megabytes = file.stat().st_size / 1e6
    print(f"{destination}: {config.name}, {layout} layout, {megabytes:.1f} MB")
    return 0
