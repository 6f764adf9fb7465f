"""`jax-depth views`: several photos of one place, or a clip, to one scene."""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from jax_depth.cli.model_options import add_model_options, load_estimator
from jax_depth.cli.photos import Problem, find_photos
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import (
    UsageError,
    loading_models,
    make_folder,
    names_among,
    positive,
)
from jax_depth.formats.folders import PHOTO_SUFFIXES
from jax_depth.formats.printable import printable

DEFAULT_MODEL = "depth-anything-3-small"
# Name -> what is written below the output folder.
FORMATS = {
    "glb": "scene.glb",
    "ply": "scene.ply",
    "npz": "scene.npz",
    "colmap": "colmap",
}
_MAX_POINTS = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from jax_depth.models.reference_view import Reference

    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="photos of one place: files, folders, globs; or one clip",
    )
    add_model_options(parser.add_argument_group("model"))
    parser.set_defaults(model=DEFAULT_MODEL)
    scene = parser.add_argument_group("scene")
    scene.add_argument(
        "--fps",
        type=_rate,
        default=Fraction(2),
        metavar="N",
        help="frames per second to take from a clip (default: 2)",
    )
    scene.add_argument(
        "--reference",
        choices=get_args(Reference),
        default="saddle_balanced",
        help="which view defines the world: first, middle, or as the network "
        "chooses (default: %(default)s)",
    )
    scene.add_argument(
        "--metric",
        metavar="MODEL",
        help="scale the scene to metres with this model: "
        "depth-anything-3-metric-large or a folder of such a one",
    )
    scene.add_argument(
        "--pose-from",
        choices=("camera_head", "rays"),
        default="camera_head",
        help="where cameras and poses come from; rays are slower, but more accurate by "
        "the authors' figures (default: %(default)s)",
    )
    scene.add_argument(
        "--fit",
        choices=("refuse", "crop"),
        default="refuse",
        help="refuse photos of differing sizes, or crop them to what they share "
        "(default: %(default)s)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=Path("views_out"),
        help="folder for the results, made if missing (default: %(default)s)",
    )
    output.add_argument(
        "--format",
        type=names_among(FORMATS),
        default=["glb"],
        metavar="A,B",
        help="comma-separated, of glb, ply, colmap and npz; npz keeps everything"
        " (default: glb)",
    )
    output.add_argument(
        "--confidence",
        type=float,
        default=40.0,
        metavar="PERCENT",
        help="leave out the least confident pixels, this percentage of all "
        "(default: %(default)g)",
    )
    output.add_argument(
        "--max-points",
        type=positive,
        default=_MAX_POINTS,
        metavar="N",
        help="largest number of points in a file (default: %(default)d)",
    )
    add_json_argument(output)


def run(args: argparse.Namespace) -> int:
    """Compute and write one scene; return the exit code."""
    if not 0 <= args.confidence < 100:
        raise UsageError("--confidence must be from 0 to below 100 percent")
    begin = time.monotonic()
    results = {name: args.outdir / FORMATS[name] for name in args.format}
    if "colmap" in results and results["colmap"].exists():
        raise UsageError(f"'{results['colmap']}' already exists; give another -o")
    pictures, names, problems = _pictures(args.paths, args.outdir, args.fps)
    _report(problems)
    if not pictures:
        raise UsageError("no picture is left to make a scene from")
    make_folder(args.outdir)
    try:
        estimator = load_estimator(args)
        _check_model(estimator)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from None
    with loading_models():  # that of --metric; or photos whose sizes differ
        views = estimator.views(
            pictures,
            reference=args.reference,
            metric=args.metric,
            fit=args.fit,
            pose_from=args.pose_from,
        )
    if names:
        views = dataclasses.replace(views, names=names)
    for path in results.values():
        views.save(path, confidence=args.confidence / 100, max_points=args.max_points)
    written = [str(path) for path in results.values()]
    document = {
        "outdir": str(args.outdir),
        "inputs": len(pictures) + len(problems),
        "written": written,
        "failed": [{"name": p.name, "sentence": p.sentence} for p in problems],
        "reference": views.names[views.reference],
        "unit": views.depths[0].unit,
        "seconds": time.monotonic() - begin,
    }
    unit = "metres" if views.depths[0].unit == "m" else "a unit of its own"
    text = (
        f"{len(views)} views in {unit}, reference {views.names[views.reference]}: "
        f"{', '.join(written)}"
    )
    conclude(args, document, text)
    return 1 if problems else 0


def _pictures(
    words: Sequence[str], outdir: Path, rate: Fraction
) -> tuple[list[Any], list[str], list[Problem]]:
    """Return the pictures, their names, and the inputs that failed."""
    from jax_depth.formats.image import read_image

    if len(words) == 1 and _is_clip(words[0]):
        frames, problems = _frames(words[0], rate)
        stem = Path(words[0]).stem
        return frames, [f"{stem}_{i:05d}" for i in range(len(frames))], problems
    photos, problems = find_photos(words, outdir)
    pictures, names = [], []
    for photo in photos:
        try:
            pictures.append(read_image(photo.path))
            names.append(photo.path.stem)
        except (ValueError, OSError) as error:
            problems.append(Problem(str(photo.path), str(error)))
    return pictures, names, problems


def _is_clip(word: str) -> bool:
    suffix = Path(word).suffix.lower()
    return os.path.isfile(word) and suffix not in PHOTO_SUFFIXES and suffix != ".txt"


def _frames(word: str, rate: Fraction) -> tuple[list[Any], list[Problem]]:
    from jax_depth.video.frames import Selection
    from jax_depth.video.reading import open_source

    source = open_source(word, Selection(rate=rate))
    try:
        frames = [frame.pixels for frame in source]
    finally:
        source.close()
    return frames, [Problem(word, sentence) for sentence in source.problems]


def _check_model(estimator: Any) -> None:
    from jax_depth.models.architectures import sees_views

    config = estimator.config
    if not sees_views(config):
        raise ValueError(
            f"model {config.name!r} sees single pictures; give an any-view model, such "
            f"as --model {DEFAULT_MODEL}"
        )


def _report(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(printable(f"jax-depth: views: {problem.sentence}"), file=sys.stderr)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return rate
