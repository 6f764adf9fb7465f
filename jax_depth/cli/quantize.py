"""`jax-depth quantize`: a model in int8 for CPUs, from one's own photos."""

import argparse
import sys
from pathlib import Path

from jax_depth.cli.photos import find_photos
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import UsageError, loading_models, make_folder, positive
from jax_depth.formats.printable import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        metavar="MODEL",
        help="a name that `jax-depth models` lists, a folder with weights, or a weight "
        "file",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="which model a weight file holds, a name from `jax-depth models`",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        nargs="+",
        required=True,
        help="photos of the kind the model is for: files, folders, globs; a "
        "hundred or more",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="a new model folder, for --model and jax_depth.load",
    )
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="short side at which photos are seen (default: the model's own)",
    )
    parser.add_argument(
        "--photos",
        type=positive,
        default=128,
        metavar="N",
        help="at most this many photos to calibrate with (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=positive,
        default=32,
        metavar="N",
        help="at most this many photos to hold back and compare with float32 on,"
        " and never more than a fifth (default: %(default)s)",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Quantise, compare, write and say how far it is from float32."""
    from jax_depth.formats.atomic import check_replaceable
    from jax_depth.inference.engines.int8 import FILES, write_int8
    from jax_depth.inference.engines.openvino_quantize import import_nncf
    from jax_depth.inference.prompted import refuse_without_prompt
    from jax_depth.study.int8 import Failures, quantized, split
    from jax_depth.weights import read_params

    photos, problems = find_photos(args.data, args.output)
    make_folder(args.output.absolute().parent)
    try:
        check_replaceable(args.output, FILES)
        import_nncf()
        calibration, held_out = split(
            [photo.path for photo in photos], args.photos, args.held_out
        )
    except (FileExistsError, ValueError) as error:
        raise UsageError(str(error)) from None
    with loading_models():
        params, config = read_params(args.source, model=args.model)
        refuse_without_prompt(config)
    failures = Failures([problem.sentence for problem in problems])
    try:
        int8 = quantized(params, config, calibration, held_out, failures, args.size)
    finally:
        for sentence in failures.sentences:
            print(printable(f"jax-depth: {sentence}"), file=sys.stderr)
    write_int8(args.output, params, config, int8)
    found = int8.record["agreement"]
    text = (
        f"{int8.sentence} (worst {found['worst_spearman']:.4f}); calibrated with "
        f"{int8.record['calibrated']}, written to {args.output}"
    )
    document = {"folder": str(args.output), **int8.record}
    conclude(args, document | {"failed": failures.sentences}, text)
    return 1 if failures.sentences else 0
