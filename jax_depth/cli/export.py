"""`jax-depth export`: a model as a file for another process or another runtime."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jax_depth.cli import predict
from jax_depth.cli.batch import make_folder
from jax_depth.cli.job import OutputFolderError
from jax_depth.cli.photos import find_photos
from jax_depth.cli.usage import UsageError

if TYPE_CHECKING:
    from jax_depth.config import ModelConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--executable",
        action="store_true",
        help="compiled programs for this machine, one a picture size, which `predict "
        "--executables` runs without compiling anything",
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="photos, as in predict, for whose sizes a program is wanted",
    )
    parser.add_argument(
        "--photo-size",
        type=_photo_size,
        action="append",
        default=[],
        metavar="WIDTHxHEIGHT",
        help="of photos a program is wanted for; may be repeated (default without "
        "PATH: a square)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for the programs, made if missing",
    )
    predict.add_model_arguments(parser.add_argument_group("model"))


def run(args: argparse.Namespace) -> int:
    """Write the files and name them; 1 if a photo could not be read."""
    return _export_executables(args)


def _export_executables(args: argparse.Namespace) -> int:
    from jax_depth.deploy.ahead_of_time import write_executables

    params, config = _load(args)
    problems: list[str] = []
    sizes = list(_network_sizes(args, config, problems))
    try:
        make_folder(args.output)
    except OutputFolderError as error:
        raise UsageError(str(error)) from None
    batch_size = args.batch_size or 1
    for path in write_executables(params, config, sizes, args.output, batch_size):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    for problem in problems:
        print(f"jax-depth: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _load(args: argparse.Namespace) -> tuple[dict[str, Any], "ModelConfig"]:
    """Return the weights and the config, with the dtype that was asked for."""
    from jax_depth.weights import load_params

    source, model = predict.weights_source(args)
    try:
        params, config = load_params(source, model=model, dtype=args.dtype)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if config.head is None:
        raise UsageError(f"{config.name} is a bare encoder and predicts no depth")
    return params, config


def _network_sizes(
    args: argparse.Namespace, config: "ModelConfig", problems: list[str]
) -> Iterator[tuple[int, int]]:
    """Yield what the network sees of the photos that were named; add to `problems`."""
    from jax_depth.inference.image import read_image
    from jax_depth.inference.preprocess import processing_size

    size = args.size or config.image_size
    options = (size, config.encoder.patch_size, args.resample or config.resample)
    photos, missing = find_photos(args.paths, args.output)
    problems += [problem.sentence for problem in missing]
    for photo in photos:
        try:
            height, width = read_image(photo.path).shape[:2]
            label = f"'{photo.path}'"
            yield processing_size(height, width, *options, label=label)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    square = [] if args.paths else [(size, size)]
    for width, height in args.photo_size or square:
        try:
            yield processing_size(height, width, *options, label="a photo")
        except ValueError as error:
            raise UsageError(f"--photo-size: {error}") from None


def _photo_size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not WIDTHxHEIGHT, such as 1920x1080"
        )
    return width, height
