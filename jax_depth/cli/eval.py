"""`jax-depth eval`: score a model by a published protocol."""

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from jax_depth.alignment import Method
from jax_depth.cli.model_options import (
    add_engine_option,
    add_model_options,
    load_estimator,
)
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import UsageError, make_folder, positive
from jax_depth.evaluation.alignment import Alignment, Space
from jax_depth.evaluation.protocols import PROTOCOLS, Protocol
from jax_depth.formats.printable import printable

if TYPE_CHECKING:
    from jax_depth.evaluation.benchmark import Benchmark
    from jax_depth.evaluation.records import Records

_DA2K = "da-2k"
# Your own data, scored as relative models are: any format of jax_depth.data.
_OWN = "own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "protocol",
        choices=(*PROTOCOLS, _DA2K, _OWN),
        metavar="PROTOCOL",
        help=f"{', '.join(PROTOCOLS)}, {_DA2K}, or {_OWN} for other data",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="the dataset's folder or file, PATH?option=value for options of its "
        f"reader (kitti: files=LIST); for {_OWN}, NAME:PATH as for training",
    )
    parser.add_argument(
        "-o",
        "--outdir",
        type=Path,
        help="folder for results; run again to resume (default: eval_PROTOCOL_MODEL)",
    )
    model = parser.add_argument_group("model")
    add_model_options(model)
    add_engine_option(model)
    group = parser.add_argument_group("protocol")
    group.add_argument(
        "--align",
        choices=get_args(Method),
        help="how the prediction is aligned to the truth (default: scale_shift; "
        "none for metric models)",
    )
    group.add_argument(
        "--space",
        choices=get_args(Space),
        help="space to align in (default: disparity, depth for models that give depth)",
    )
    group.add_argument(
        "--floor",
        type=float,
        metavar="DISPARITY",
        help="smallest disparity after alignment, in 1 / metres (default: 1 / "
        "the largest depth)",
    )
    group.add_argument(
        "--max-depth",
        type=float,
        metavar="M",
        help=f"largest true depth that counts (default: the protocol's; 80 for {_OWN})",
    )
    group = parser.add_argument_group("work")
    group.add_argument(
        "--worst",
        type=_count,
        default=10,
        metavar="N",
        help="save pictures of the N worst results (default: 10)",
    )
    group.add_argument(
        "--shard",
        type=_shard,
        default=(0, 1),
        metavar="K/N",
        help="evaluate every N-th picture from the K-th, counted from 0; N "
        "processes may share one folder, and the last to finish sums up",
    )
    add_json_argument(group)


def run(args: argparse.Namespace) -> int:
    """Score every picture not yet scored; print the table and write the files."""
    from jax_depth.evaluation.records import Records

    protocol = None if args.protocol == _DA2K else _protocol(args)
    if protocol is not None and args.resample is None:
        args.resample = protocol.resample
    if args.outdir is not None:
        make_folder(args.outdir)
    data = _open(args, protocol)
    estimator = load_estimator(args)
    benchmark = _benchmark(args, protocol, data, estimator.config.kind)
    name = estimator.config.name
    folder = args.outdir or Path(f"eval_{args.protocol}_{name}")
    make_folder(folder)
    settings = {
        "model": name,
        "parameters": digest(_bytes(estimator.params)),
        "size": estimator.size,
        "resample": estimator.resample,
        "restore": estimator.restore,
        "dtype": args.dtype,
        # Left out where it is the usual one: finished folders of 0.1 have no such key.
        **({} if estimator.engine == "xla" else {"engine": estimator.engine}),
        **benchmark.description(),
        "pictures": digest([name.encode() for name in benchmark.names]),
    }
    try:
        records = Records(folder, settings, process=args.shard[0])
        records.judged()  # refuses those of other settings
    except ValueError as error:
        raise UsageError(str(error)) from None
    _judge_all(args, benchmark, estimator, records)
    summary = _write(folder, settings, benchmark, records, args.worst)
    if summary["complete"] and args.worst:
        from jax_depth.cli.eval_pictures import write_worst

        write_worst(folder / "worst", benchmark, estimator, summary["worst"])
    _print(args, summary, folder)
    return 1 if summary["skipped"] or not summary["images"] else 0


def digest(parts: Iterable[Any]) -> str:
    """Return a name for a sequence of bytes or arrays."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part)
        found.update(b"\0")
    return found.hexdigest()


def _bytes(params: Any) -> Iterator[Any]:
    import jax
    import numpy as np

    for leaf in jax.tree.leaves(params):
        yield np.ascontiguousarray(leaf).view(np.uint8)


def _protocol(args: argparse.Namespace) -> Protocol:
    if args.protocol != _OWN:
        protocol = PROTOCOLS[args.protocol]
    else:
        protocol = Protocol(
            name=_OWN,
            reader="",
            source=args.data,
            reproduces="nothing is published",
            min_depth=1e-3,
            max_depth=80.0,
            images=0,
        )
    if args.max_depth is None:
        return protocol
    if not args.max_depth > protocol.min_depth:
        raise UsageError(f"--max-depth {args.max_depth:g} is not above 0.001")
    return dataclasses.replace(protocol, max_depth=args.max_depth)


def _open(args: argparse.Namespace, protocol: Protocol | None) -> Any:
    from jax_depth.data.sample import DatasetError

    try:
        if protocol is None:
            from jax_depth.evaluation.da2k import DA2K

            return DA2K(args.data)
        from jax_depth.data.registry import open_dataset

        if not protocol.reader:
            return open_dataset(args.data)
        path, _, given = args.data.partition("?")
        options = "&".join(f"{k}={v}" for k, v in protocol.options.items() if v)
        query = "&".join(filter(None, (options, given)))
        return open_dataset(f"{protocol.reader}:{path}" + (f"?{query}" * bool(query)))
    except DatasetError as error:
        raise UsageError(str(error)) from None


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _benchmark(
    args: argparse.Namespace, protocol: Protocol | None, data: Any, kind: str
) -> "Benchmark":
    from jax_depth.evaluation import benchmark

    if protocol is None:
        return benchmark.PairBenchmark(data)
    usual = benchmark.default_alignment(kind, protocol)
    try:
        alignment = Alignment(
            args.align or usual.method, args.space or usual.space, args.floor
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    if kind == "inverse_depth" and alignment.space != "disparity":
        raise UsageError(
            f"--space {alignment.space}: the model gives inverse depth, whose shift "
            "must be fitted in disparity before it becomes depth"
        )
    return benchmark.DepthBenchmark(data, protocol, alignment)


def _judge_all(
    args: argparse.Namespace, benchmark: "Benchmark", estimator: Any, records: "Records"
) -> None:
    import sys

    from tqdm import tqdm

    from jax_depth.evaluation.run import run

    part, parts = args.shard
    todo = run(benchmark, estimator, records, process=part, processes=parts)
    for name, problem in tqdm(todo, unit="picture", disable=None):
        if problem is not None:
            named = problem if name in problem else f"{name}: {problem}"
            print(printable(f"jax-depth: skipped: {named}"), file=sys.stderr)


def _write(
    folder: Path,
    settings: dict[str, Any],
    benchmark: "Benchmark",
    records: "Records",
    count: int,
) -> dict[str, Any]:
    from jax_depth.evaluation.report import summarise, to_csv
    from jax_depth.formats.atomic import atomic

    lines = records.judged()
    summary = summarise(benchmark, lines, count)
    document = {"settings": settings, **summary}
    for name, text in (
        ("summary.json", json.dumps(document, indent=2) + "\n"),
        ("images.csv", to_csv(lines)),
    ):
        with atomic(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return summary


def _print(args: argparse.Namespace, summary: dict[str, Any], folder: Path) -> None:
    from jax_depth.evaluation.report import to_table

    conclude(args, summary, f"{to_table(summary)}\nwritten to {folder}")


def _shard(text: str) -> tuple[int, int]:
    first, _, second = text.partition("/")
    if first.isdecimal() and second.isdecimal() and int(first) < int(second):
        return int(first), int(second)
    raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K below N, such as 0/4")
