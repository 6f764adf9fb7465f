"""`jax-depth export`: a model as a file for another process or another runtime."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jax_depth.cli.model_options import ModelOptions, add_model_options
from jax_depth.cli.photos import find_photos
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import UsageError, loading_models, make_folder
from jax_depth.formats.printable import printable

if TYPE_CHECKING:
    from jax_depth.config import ModelConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "words",
        metavar="MODEL or PHOTO",
        nargs="*",
        help="the model, as in --model; with --executable, photos for whose "
        "sizes programs are compiled",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write: .stablehlo (one program for every size, on CPU, GPU"
        " and TPU, run by jax alone) or .onnx (one size); with --executable"
        " a folder",
    )
    parser.add_argument(
        "--executable",
        action="store_true",
        help="write compiled programs for this machine, one per picture size, which "
        "`predict --executables` runs without compiling",
    )
    parser.add_argument(
        "--without-weights",
        action="store_true",
        help="for .stablehlo: leave the weights out of the file",
    )
    parser.add_argument(
        "--views",
        type=int,
        metavar="N",
        help="for .stablehlo: take N pictures of one place, of any size, and return "
        "depth, confidence, cameras and poses (any-view models; default: depth of "
        "single pictures)",
    )
    parser.add_argument(
        "--preprocess",
        action="store_true",
        help="for .onnx: take uint8 RGB photos of one size and return depth of that "
        "size; resizing and normalising are part of the file",
    )
    parser.add_argument(
        "--photo-size",
        type=_photo_size,
        action="append",
        default=[],
        metavar="WIDTHxHEIGHT",
        help="size of the photos an .onnx file or a program is for; may be repeated "
        "with --executable (default without photos: a square)",
    )
    add_json_argument(parser)
    add_model_options(parser.add_argument_group("model"))


def run(args: argparse.Namespace) -> int:
    """Write the files and name them; 1 if a photo could not be read."""
    suffix = args.output.suffix.lower()
    if not args.executable and suffix not in (".stablehlo", ".onnx"):
        raise UsageError(
            f"-o {args.output}: end it in .stablehlo or .onnx, or give --executable"
        )
    only = {"--without-weights": ".stablehlo", "--preprocess": ".onnx"}
    for option, its in only.items():
        given = getattr(args, option.strip("-").replace("-", "_"))
        if given and (args.executable or suffix != its):
            raise UsageError(f"{option} is an option of {its} files")
    if args.views is not None and (args.executable or suffix != ".stablehlo"):
        raise UsageError(
            "--views is an option of .stablehlo files; .onnx files and compiled "
            "programs take one view each"
        )
    if args.executable:
        return _export_executables(args)
    _take_model(args)
    return _export_stablehlo(args) if suffix == ".stablehlo" else _export_onnx(args)


def _take_model(args: argparse.Namespace) -> None:
    """Let the one word be the model."""
    if len(args.words) > 1 or (args.words and (args.model or args.encoder)):
        raise UsageError(f"one model at a time, not {' '.join(args.words)} and another")
    if args.words:
        args.model = args.words[0]


def _export_stablehlo(args: argparse.Namespace) -> int:
    if args.photo_size:
        raise UsageError(".stablehlo files take every size; leave --photo-size out")
    from jax_depth.export.stablehlo import check_installed, write_stablehlo
    from jax_depth.inference.preprocess import served

    _installed(check_installed)
    params, config = _load(args)
    with _writable(args.output):
        with_weights = not args.without_weights
        asked = served(config, args.size, args.resample)
        write_stablehlo(params, asked, args.output, with_weights, args.views)
    return _written(args, [args.output])


def _export_onnx(args: argparse.Namespace) -> int:
    from jax_depth.export.onnx import check_installed, write_onnx
    from jax_depth.inference.preprocess import served

    _installed(check_installed)
    params, config = _load(args)
    sizes = list(_network_sizes(args, config, [], ()))
    if len(sizes) > 1:
        raise UsageError(".onnx files take one size; give --photo-size once")
    size = sizes[0]
    if args.preprocess and args.photo_size:
        size = args.photo_size[0][::-1]
    with _writable(args.output):
        asked = served(config, args.size, args.resample)
        write_onnx(params, asked, args.output, size, args.preprocess)
    return _written(args, [args.output])


def _export_executables(args: argparse.Namespace) -> int:
    from jax_depth.inference.engines.ahead_of_time import write_executables

    params, config = _load(args)
    problems: list[str] = []
    sizes = list(_network_sizes(args, config, problems, args.words))
    make_folder(args.output)
    batch_size = args.batch_size or 1
    written = write_executables(params, config, sizes, args.output, batch_size)
    return _written(args, written, problems)


def _written(
    args: argparse.Namespace, files: Iterable[Path], problems: Sequence[str] = ()
) -> int:
    """Name what is written, as it is written, and return the exit code."""
    sizes: dict[str, int] = {}
    for file in files:
        sizes[str(file)] = size = file.stat().st_size
        if not args.json:
            print(printable(f"{file}: {size / 1e6:.1f} MB"))
    for problem in problems:
        print(printable(f"jax-depth: {problem}"), file=sys.stderr)
    conclude(args, {"written": sizes, "failed": list(problems)}, None)
    return 1 if problems else 0


def _installed(check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as error:
        raise UsageError(str(error)) from None


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Try the folder before, and turn what does not suit the model into wrong usage."""
    try:
        make_folder(path.parent)
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


def _load(args: argparse.Namespace) -> tuple[dict[str, Any], "ModelConfig"]:
    """Return the weights and the config, with the dtype that was asked for."""
    from jax_depth.inference.preprocess import check_options
    from jax_depth.inference.prompted import takes_prompts
    from jax_depth.weights import read_params

    source, model = ModelOptions.of(args).source()
    with loading_models():
        params, config = read_params(source, model=model, dtype=args.dtype)
    if config.head is None:
        raise UsageError(f"{config.name} is a bare encoder and predicts no depth")
    if takes_prompts(config):
        raise UsageError(
            f"{config.name} takes a coarse depth map beside each photo, which exported "
            "files do not; use `jax-depth predict --prompt`"
        )
    if args.size is not None:
        resample = args.resample or config.resample
        try:
            check_options(args.size, resample, config.encoder.patch_size)
        except ValueError as error:
            raise UsageError(f"--size: {error}") from None
    return params, config


def _network_sizes(
    args: argparse.Namespace,
    config: "ModelConfig",
    problems: list[str],
    words: Sequence[str],
) -> Iterator[tuple[int, int]]:
    """Yield what the network sees of the photos that were named; add to `problems`."""
    from jax_depth.formats.image import read_image
    from jax_depth.inference.preprocess import processing_size

    size = args.size or config.image_size
    options = (size, config.encoder.patch_size, args.resample or config.resample)
    photos, missing = find_photos(words, args.output)
    problems += [problem.sentence for problem in missing]
    for photo in photos:
        try:
            height, width = read_image(photo.path).shape[:2]
            label = f"'{photo.path}'"
            yield processing_size(height, width, *options, label=label)
        except (OSError, ValueError) as error:
            problems.append(str(error))
    square = [] if words else [(size, size)]
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
