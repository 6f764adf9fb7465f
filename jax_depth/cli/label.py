"""`jax-depth label`: a teacher's depth for many pictures, as training data."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jax_depth.cli.model_options import (
    add_engine_option,
    add_model_options,
    load_estimator,
)
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import INTERRUPTED, UsageError, make_folder

if TYPE_CHECKING:
    from jax_depth.cli.labelling import Labelling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of photos (searched recursively), or a dataset as name:path, "
        "such as rendered:/data/frames",
    )
    parser.add_argument(
        "-o", "--outdir", type=Path, required=True, help="folder for the labels"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(0, 1),
        metavar="I/N",
        help="label the I-th of N equal parts, counted from 0, so that N "
        "processes share the work",
    )
    parser.add_argument(
        "--packed",
        action="store_true",
        help="pack pictures and labels into a few large files (ArrayRecord) "
        "instead of one file per label: for millions of photos; train with "
        "--pseudo packed:OUTDIR",
    )
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_engine_option(model)
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Label what is not labelled yet; return the exit code."""
    # Late: these import NumPy and jax, which the help does without.
    from jax_depth.cli.labelling import Labelling
    from jax_depth.data.sample import DatasetError

    try:
        labelling = Labelling(args.source, args.outdir, args.shard, args.packed)
    except DatasetError as error:
        raise UsageError(str(error)) from None
    make_folder(args.outdir)
    if not labelling.todo:
        labelling.finish()
        return _summary(args, labelling)
    try:
        estimator = load_estimator(args)
        labelling.run(estimator, quiet=args.quiet)
    except KeyboardInterrupt:
        labelling.say("interrupted; run the same command again to continue")
        return INTERRUPTED
    return _summary(args, labelling)


def _summary(args: argparse.Namespace, labelling: "Labelling") -> int:
    counts = {
        name: getattr(labelling, name) for name in ("labelled", "failed", "total")
    }
    text = (
        f"{labelling.labelled} of {labelling.total} labelled in {args.outdir}"
        + (f", {labelling.failed} failed" if labelling.failed else "")
        + f"; train with --pseudo {'packed' if args.packed else 'labels'}:{args.outdir}"
    )
    document = {"outdir": str(args.outdir), **counts}
    conclude(args, document, None if args.quiet else text)
    return 1 if labelling.failed else 0


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]) <= 99999:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not I/N with I from 0 to N - 1, as in 0/4"
        )
    return int(match[1]), int(match[2])
