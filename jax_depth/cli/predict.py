"""`jax-depth predict`: depth of photos, into files.

Everything `run.py` of Depth Anything does is here: --img-path, --input-size, --outdir,
--encoder, --pred-only and --grayscale mean what they mean there.
"""

import argparse
import functools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jax_depth.cli.batch import add_batch_arguments, run_batch
from jax_depth.cli.display_range import add_legend_option, shown_range
from jax_depth.cli.model_options import (
    add_draft_option,
    add_engine_option,
    add_model_options,
    add_program_options,
    load_estimator,
)
from jax_depth.cli.prompts import Prompts, add_prompt_arguments
from jax_depth.cli.result_names import result_paths
from jax_depth.cli.standard_streams import check_stdout, stdin_file, stdout_folder
from jax_depth.cli.usage import UsageError, names_among, number

DEFAULT_FORMATS = ("side-by-side", "png16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="a photo, a folder (searched recursively), a glob, a .txt file with one "
        "of these on each line, or - for a photo on standard input",
    )
    parser.add_argument(
        "--img-path", metavar="PATH", action="append", default=[], help="same as PATH"
    )
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_prompt_arguments(model)
    add_engine_option(model)
    add_draft_option(model)
    add_program_options(model)
    _add_output_arguments(parser.add_argument_group("output"))


def _add_output_arguments(group: argparse._ArgumentGroup) -> None:
    from jax_depth.map_files import FORMATS
    from jax_depth.outputs.colormap import COLORMAPS

    group.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=Path("depth_out"),
        help="folder for the results, made if missing (default: %(default)s); - "
        "writes the result for a single photo to standard output",
    )
    group.add_argument(
        "--format",
        type=names_among(FORMATS),
        metavar="A,B",
        help=f"comma-separated, of: {', '.join(FORMATS)} (default: "
        f"{','.join(DEFAULT_FORMATS)}; with -o - png16)",
    )
    color = group.add_mutually_exclusive_group()
    color.add_argument(
        "--colormap",
        choices=COLORMAPS,
        default="Spectral_r",
        help="colour map of the formats color and side-by-side (default: "
        "%(default)s, near is red)",
    )
    color.add_argument(
        "--grayscale", action="store_true", help="same as --colormap gray"
    )
    group.add_argument(
        "--range",
        metavar="RANGE",
        default="photo",
        help="range of values that the colours span: photo (each photo's own, "
        "the default), calibrated (found by `jax-depth calibrate`), a file "
        "that it wrote, or LOW:HIGH",
    )
    group.add_argument(
        "--focal",
        type=number(lambda pixels: 0 < pixels < math.inf, "pixels above 0"),
        metavar="PIXELS",
        help="focal length of all photos given, which "
        "depth-anything-3-metric-large needs for metres (default: from "
        "their EXIF data)",
    )
    group.add_argument(
        "--fill-sky",
        action="store_true",
        help="put sky at the 99th percentile of the other depth in the photo, "
        "with models that predict sky: depth-anything-3-mono-large and "
        "-metric-large",
    )
    group.add_argument(
        "--pred-only",
        action="store_true",
        help="write the coloured depth without the photo: color, not side-by-side",
    )
    add_legend_option(group)
    add_batch_arguments(group)


def run(args: argparse.Namespace) -> int:
    """Compute and write the depth of every photo; return the exit code."""
    words = [*args.paths, *args.img_path]
    if not words:
        raise UsageError("give at least one PATH: a photo, a folder, a glob, a .txt")
    piped = args.outdir == Path("-")
    formats = _chosen_formats(args, ("png16",) if piped else DEFAULT_FORMATS)
    prompts = Prompts.asked(args)

    if piped:
        check_stdout(args, words, formats)
    with stdin_file(words) as stdin, stdout_folder(args) if piped else nullcontext():
        return run_batch(
            args,
            words,
            lambda stem: result_paths(stem, formats),
            lambda _: _prepared(args, formats, prompts),
            chosen=None if prompts is None else prompts.match,
            stdin=stdin,
        )


def _prepared(
    args: argparse.Namespace, formats: list[str], prompts: Prompts | None
) -> tuple[Any, Callable[..., None]]:
    """Return the estimator and what writes its maps."""
    # Late: this imports jax, which the help does without.
    from jax_depth.cli.pipeline import write_maps

    estimator = _estimator(args, formats)
    low, high = shown_range(args.range, estimator.config, args)
    style = {
        "focal": args.focal,
        "fill_sky": args.fill_sky,
        "colormap": "gray" if args.grayscale else args.colormap,
        "low": low,
        "high": high,
        "legend": args.legend,
    }
    if prompts is not None:
        estimator = prompts.beside(estimator)
    return estimator, functools.partial(write_maps, style=style)


def _estimator(args: argparse.Namespace, formats: list[str]) -> Any:
    # Late: this imports jax, which the help does without.
    from jax_depth.models.architectures import network_row

    estimator = load_estimator(args)
    kind, name = estimator.config.kind, estimator.config.name
    by_focal_length = estimator.config.canonical_focal is not None
    if "png-mm" in formats and kind != "metric_depth" and not by_focal_length:
        raise UsageError(
            f"--format png-mm needs a metric model, but {name} gives {kind}; use png16"
        )
    if args.fill_sky and "sky" not in network_row(estimator.config).says:
        raise UsageError(
            f"--fill-sky: {name} predicts no sky; leave it out, or use "
            "depth-anything-3-mono-large"
        )
    if args.focal is not None and not by_focal_length:
        raise UsageError(
            f"--focal: {name} needs no focal length; leave it out, or use "
            "depth-anything-3-metric-large"
        )
    return estimator


def _chosen_formats(args: argparse.Namespace, usual: Sequence[str]) -> list[str]:
    formats = list(args.format or usual)
    if args.pred_only:
        formats = ["color" if name == "side-by-side" else name for name in formats]
    if {"png16", "png-mm"} <= set(formats):
        raise UsageError("png16 and png-mm share a file name; choose one of them")
    if "exr" in formats:
        from jax_depth.formats.exr import openexr_module

        try:
            openexr_module()
        except ValueError as error:
            raise UsageError(str(error)) from None
    return list(dict.fromkeys(formats))
