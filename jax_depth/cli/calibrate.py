"""`jax-depth calibrate`: the range of a model over your own pictures, for display."""

import argparse
import contextlib
import sys
from pathlib import Path

from jax_depth.cli.display_range import calibration_path, refuse_calibration
from jax_depth.cli.model_options import (
    add_engine_option,
    add_model_options,
    load_estimator,
)
from jax_depth.cli.photos import find_photos
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import UsageError, make_folder
from jax_depth.formats.printable import printable

_DOCUMENT = ("model", "kind", "low", "high", "pictures")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="photos, as in predict"
    )
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_engine_option(model)
    parser.add_argument(
        "--percentiles",
        nargs=2,
        type=float,
        default=(2.0, 98.0),
        metavar=("LOW", "HIGH"),
        help="percentiles of all values between which the range lies (default: 2 98)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="file to write (default: where `predict --range calibrated` looks)",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure the range, write and print it; pictures that fail are named."""
    from jax_depth.outputs.calibration import calibrate

    low, high = args.percentiles
    if not 0 <= low < high <= 100:
        raise UsageError(f"--percentiles {low:g} {high:g} must rise from 0 to 100")
    if args.output is not None:
        if args.output.is_dir():
            raise UsageError(
                f"-o '{args.output}' is a folder; give a file, as in a.json"
            )
        make_folder(args.output.parent)
    photos, problems = find_photos(args.paths, calibration_path("").parent)
    failures = [problem.sentence for problem in problems]
    estimator = load_estimator(args)
    refuse_calibration(estimator.config, "calibrate")

    def maps():
        paths = [photo.path for photo in photos]
        with contextlib.closing(estimator.stream(paths)) as results:
            for path, depth in results:
                if isinstance(depth, Exception):
                    sentence = str(depth)
                    named = sentence if str(path) in sentence else f"{path}: {sentence}"
                    failures.append(named)
                else:
                    yield depth

    try:
        found = calibrate(maps(), (low, high), estimator.size)
    finally:
        for sentence in failures:
            print(printable(f"jax-depth: {sentence}"), file=sys.stderr)
    path = args.output or calibration_path(found.model)
    found.save(path)
    document = {name: getattr(found, name) for name in _DOCUMENT}
    conclude(
        args,
        document | {"file": str(path), "failed": failures},
        f"{found.model}: {found.low:.4g} to {found.high:.4g} over {found.pictures} "
        f"pictures, written to {path}",
    )
    return 1 if failures else 0
