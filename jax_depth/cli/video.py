"""`jax-depth video`: depth of moving pictures, into films, frames and arrays.

Everything `run_video.py` of Depth Anything does is here: --video-path, --input-size,
--outdir, --encoder, --pred-only and --grayscale mean what they mean there.
"""

import argparse
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from jax_depth.cli.display_range import add_legend_option
from jax_depth.cli.interrupt import shielded_interrupt
from jax_depth.cli.model_options import (
    add_engine_option,
    add_model_options,
    add_program_options,
    load_estimator,
)
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import INTERRUPTED, UsageError, names_among, number, positive
from jax_depth.formats.printable import printable

FORMATS = {
    "film": "a video of the depth in colours, beside the frames or alone",
    "png16": "a folder of 16-bit frames, scale and offset inside each",
    "npz": "one float32 array",
}
_DEFAULT_OUTPUT = Path("depth_out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="a video file, a folder of frames, the number of a camera, or - for a "
        "video piped in",
    )
    parser.add_argument(
        "--video-path",
        metavar="INPUT",
        action="append",
        default=[],
        help="same as INPUT",
    )
    _add_selection(parser.add_argument_group("frames"))
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_engine_option(model)
    add_program_options(model)
    _add_clip_options(parser.add_argument_group("video models"))
    _add_output(parser.add_argument_group("output"))


def _add_selection(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--start",
        type=_seconds,
        default=0.0,
        metavar="TIME",
        help="start here: seconds or H:M:S, such as 90 or 1:30",
    )
    group.add_argument(
        "--max-frames", type=positive, metavar="N", help="stop after N frames"
    )
    group.add_argument(
        "--fps",
        type=_rate,
        metavar="RATE",
        help="keep at most this many frames a second, such as 10 or 30000/1001 "
        "(default: all); for a folder, how fast its frames are shown "
        "(default: 25)",
    )


def _add_clip_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--streaming",
        action="store_true",
        help="compute each frame from those before it, for cameras and pipes; less "
        "exact",
    )
    group.add_argument(
        "--stitch",
        choices=("steady", "exact"),
        default="steady",
        help="how windows of 32 frames are joined: exact, as the authors do, or "
        "steady, so that an opening without contrast does not flatten the "
        "rest (default: steady)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    from jax_depth.outputs.colormap import COLORMAPS

    group.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=_DEFAULT_OUTPUT,
        metavar="PATH",
        help="folder for the results, made if missing; or, for one INPUT, a file that "
        "ends in .mp4, .mov, .mkv, .webm, .gif, .webp or .npz (default: %(default)s)",
    )
    group.add_argument(
        "--format",
        type=names_among(FORMATS),
        metavar="A,B",
        help=f"comma-separated, of: {', '.join(FORMATS)} (default: film, an mp4)",
    )
    group.add_argument(
        "--range",
        metavar="RANGE",
        default="stream",
        help="range of values that the colours span: stream (each frame aligned "
        "to the past, the default), clip (one range for all, in two "
        "passes), frame (each its own: flickers), calibrated (found by "
        "`jax-depth calibrate`), a file that it wrote, or LOW:HIGH",
    )
    group.add_argument(
        "--smooth",
        type=number(lambda share: 0 <= share < 1, "a share from 0 to below 1"),
        default=0.9,
        metavar="SHARE",
        help="with --range stream: how much of earlier frames is blended into "
        "the video where the picture stands still, from 0 to below 1 "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--pred-only",
        action="store_true",
        help="write the depth without the frames beside it",
    )
    color = group.add_mutually_exclusive_group()
    color.add_argument(
        "--colormap",
        choices=COLORMAPS,
        default="Spectral_r",
        help="colours of the film (default: %(default)s, near is red)",
    )
    color.add_argument(
        "--grayscale", action="store_true", help="same as --colormap gray"
    )
    add_legend_option(group)
    group.add_argument(
        "--codec",
        choices=("h264", "hevc", "av1", "vp9"),
        help="codec of the film (default: h264, which plays everywhere; vp9 in .webm)",
    )
    group.add_argument(
        "--quality",
        type=int,
        default=18,
        metavar="CRF",
        help="quality of the film, 0 to 51, lower is better (default: %(default)s)",
    )
    group.add_argument(
        "--audio", action="store_true", help="copy the sound into the film"
    )
    group.add_argument("--quiet", action="store_true", help="print failures only")
    add_json_argument(group)


def run(args: argparse.Namespace) -> int:
    """Compute and write the depth of every clip; return the exit code."""
    words = [*args.inputs, *args.video_path]
    if not words:
        raise UsageError("give an INPUT: a video, a folder of frames, a camera or -")
    _check(args, words)
    # Late: these import jax, which the help does without.
    from jax_depth.cli.clip import Clip, process, result_files
    from jax_depth.cli.display_range import clip_range

    files = result_files(words, args)
    estimator = load_estimator(args)
    _check_model(args, estimator)
    shown = clip_range(args, estimator.config)
    clips: list[Clip] = []
    start = time.perf_counter()
    with shielded_interrupt() as interrupt:
        for word in words:
            clip = Clip(word, files[word])
            clips.append(clip)
            process(clip, estimator, shown, args, interrupt)
            for sentence in clip.problems:
                print(printable(f"jax-depth: {sentence}"), file=sys.stderr)
            if clip.interrupted:
                break
    _summarise(clips, words, args, time.perf_counter() - start)
    if any(clip.interrupted for clip in clips):
        return INTERRUPTED
    return 1 if any(clip.problems for clip in clips) else 0


def _check(args: argparse.Namespace, words: list[str]) -> None:
    """Refuse what makes no sense, before anything is loaded."""
    from jax_depth.video.reading import av_module, is_camera

    if args.range == "clip" and any(map(is_camera, words)):
        raise UsageError("a camera has no end: use --range stream, not clip")
    if not 0 <= args.quality <= 51:
        raise UsageError(f"--quality {args.quality} must lie in 0 to 51")
    try:
        av_module()
    except ValueError as error:
        raise UsageError(str(error)) from None


def _check_model(args: argparse.Namespace, estimator: Any) -> None:
    """Refuse options that the model does not have."""
    from jax_depth.models.architectures import sees_clips

    if sees_clips(estimator.config):
        if estimator.engine != "xla":
            raise UsageError(
                f"engine {estimator.engine!r} takes no clips; use --engine xla"
            )
    elif args.streaming or args.stitch != "steady":
        raise UsageError(
            f"--streaming and --stitch are for video models, but "
            f"{estimator.config.name!r} sees single pictures; use "
            "video-depth-anything-small, or leave them out"
        )


def _summarise(
    clips: list[Any], words: list[str], args: argparse.Namespace, seconds: float
) -> None:
    document = {
        "inputs": len(words),
        "clips": [clip.document() for clip in clips],
        "seconds": round(seconds, 3),
    }
    text = "\n".join(clip.line() for clip in clips)
    conclude(args, document, None if args.quiet else text)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text).limit_denominator(1001)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate from 0.001 to 1000")
    return rate


def _seconds(text: str) -> float:
    try:
        parts = [float(part) for part in text.split(":")]
        total = sum(part * 60**k for k, part in enumerate(reversed(parts)))
    except ValueError:
        parts, total = [], -1.0
    if not (1 <= len(parts) <= 3 and 0 <= total < float("inf")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write seconds or H:M:S, such as 90 or 1:30"
        )
    return total
