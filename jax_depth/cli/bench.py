"""`jax-depth bench`: which engine, dtype and batch is fastest on this machine."""

import argparse
import dataclasses
import sys

from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import UsageError, positive, side_or_sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", default="tiny", help="a name or a folder (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=side_or_sides,
        metavar="PIXELS",
        help="side of what the network sees, or HEIGHTxWIDTH (default: the model's "
        "own)",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="photos per forward pass (default: try several)",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=60,
        metavar="N",
        help="time to spend, roughly (default: %(default)s)",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print a table and the recommendation, and keep it."""
    from jax_depth.inference import fastest
    from jax_depth.inference.recommended import remember
    from jax_depth.weights import read_params

    batches = (args.batch,) if args.batch else None
    timings = []
    try:
        params, config = read_params(args.model)
        rows = fastest.measure(params, config, args.size, batches, float(args.seconds))
        for timing in rows:
            timings.append(timing)
            print(_line(timing), file=sys.stderr, flush=True)
        exact, found = fastest.best(timings, "float32"), fastest.best(timings)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from None
    dtypes = {timing.dtype for timing in timings if timing.seconds}
    kept = [fastest.best(timings, dtype) for dtype in sorted(dtypes)]
    path = remember(config, kept)
    lines = [f"fastest in float32: {_options(exact)}"]
    if found != exact:
        lines.append(f"fastest of all: {_options(found)}")
    document = {
        "model": args.model,
        "timings": [dataclasses.asdict(timing) for timing in timings],
        "recommended": dataclasses.asdict(exact),
        "fastest": dataclasses.asdict(found),
        "kept_in": str(path),
    }
    conclude(args, document, "\n".join([*lines, f"kept in {path}, for --engine auto"]))
    return 0


def _line(timing) -> str:
    name = f"{timing.engine:9} {timing.dtype:9} batch {timing.batch_size:<3}"
    if timing.seconds is None:
        return f"{name} {timing.problem}"
    return f"{name} {1e3 * timing.seconds:9.2f} ms a photo, {timing.runs} runs"


def _options(timing) -> str:
    return (
        f"--engine {timing.engine} --dtype {timing.dtype} "
        f"--batch-size {timing.batch_size}"
    )
