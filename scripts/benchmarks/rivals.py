"""Compare speed and memory of this library with every installed alternative."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from jax_depth.cli.usage import UsageError, positive, side_or_sides

_JOBS = ("forward", "start", "folder", "train")


def main(arguments: list[str]) -> int:
    """Measure and print; return 1 if a contender failed, 2 for wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except SystemExit as stop:  # argparse has printed the reason
        return int(stop.code or 0)
    except (UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    one = parser.add_argument_group("one table")
    one.add_argument("--model", metavar="NAME", help="default: depth-anything-v2-small")
    one.add_argument(
        "--size",
        type=side_or_sides,
        metavar="PIXELS",
        help="side of the picture, or HEIGHTxWIDTH (default: the model's own)",
    )
    one.add_argument("--batch", type=positive, metavar="N", help="default: 1")
    one.add_argument(
        "--rounds", type=positive, metavar="N", help="turns per contender (default: 7)"
    )
    one.add_argument(
        "--contenders",
        type=_names,
        metavar="A,B",
        help="in this order; the others are compared with the first (default: all; "
        "--list names them)",
    )
    one.add_argument(
        "--job",
        choices=_JOBS,
        help="forward: pixels to depth (default); start: process start to the first "
        "depth file; folder: photos to depth files; train: one optimiser step",
    )
    one.add_argument(
        "--photos",
        type=positive,
        metavar="N",
        help="number of photos for --job folder (default: 64)",
    )
    one.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=Path("-"),
        metavar="FILE",
        help="write the figures; without FILE, to stdout instead of the table",
    )
    one.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    one.add_argument("--list", action="store_true", help="list contenders and pieces")
    page = parser.add_argument_group("a page of tables")
    page.add_argument(
        "--report",
        type=Path,
        metavar="FILE.md",
        help="measure what FILE.json beside it lacks, and write the page",
    )
    page.add_argument(
        "--suite", choices=("full", "more", "quick"), help="default: full"
    )
    page.add_argument(
        "--pieces",
        type=_names,
        metavar="A,B",
        help="pieces of the suite (default: all)",
    )
    page.add_argument(
        "--again", action="store_true", help="measure again what is in FILE.json"
    )
    page.add_argument(
        "--render-only",
        action="store_true",
        help="only write the page, without measuring",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print; return 1 if a contender failed or computed something else."""
    if args.list:
        _list()
        return 0
    if args.report is not None:
        return _report(args)
    for name in ("suite", "pieces", "again", "render_only"):
        if getattr(args, name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} needs --report FILE.md")
    return _table(args)


def _table(args: argparse.Namespace) -> int:
    from benchmarks import ceilings
    from benchmarks.plan import Plan
    from benchmarks.process import WorkerError
    from benchmarks.table import markdown

    names = ("model", "size", "batch", "rounds", "contenders", "job", "photos")
    given: dict[str, Any] = {
        name: getattr(args, name) for name in names if getattr(args, name) is not None
    }
    plan = Plan(**given)
    try:
        plan.check()
    except ValueError as error:
        raise UsageError(str(error)) from None
    for path in (args.json, args.markdown):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"'{path.parent}' is not a folder; create it first")
    try:
        limits = ceilings.measure(_say) if plan.job in ("forward", "train") else {}
        table = plan.run(_say)
    except WorkerError as error:
        raise OSError(str(error)) from None
    text = f"{table.title}\n{table.command}\n\n{markdown(table, limits)}"
    document = {"ceilings": limits, **table.to_json()}
    if args.json == Path("-"):
        print(json.dumps(document, indent=1))
    else:
        print(text, end="")
    if args.markdown is not None:
        args.markdown.write_text(text, encoding="utf-8")
    if args.json not in (None, Path("-")):
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if table.timed else 1


def _report(args: argparse.Namespace) -> int:
    from benchmarks import report
    from benchmarks.suite import SUITES

    for name in ("model", "size", "batch", "rounds", "contenders", "job", "photos"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name} is set by the suite; leave it or --report out")
    if args.report.suffix != ".md":
        raise UsageError(f"--report '{args.report}': the page must end in .md")
    if args.render_only and (args.pieces or args.again):
        raise UsageError(
            "--render-only measures nothing; leave --pieces and --again out"
        )
    pieces = [] if args.render_only else args.pieces
    suite = SUITES[args.suite or "full"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            failures = report.run(
                args.report, suite, pieces, args.again, Path(folder), _say
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
    print(args.report)
    return 1 if failures else 0


def _list() -> None:
    from benchmarks import jobs
    from benchmarks.catalog import CONTENDERS
    from benchmarks.suite import SUITES

    for work, rows in CONTENDERS.items():
        print(f"--job {work}:")
        for name, contender in rows.items():
            print(f"  {name:26} {contender.about}")
    for job in ("start", "folder"):
        print(f"--job {job}:")
        for command in jobs.commands(job):
            print(f"  {command.name}")
    for name, suite in SUITES.items():
        print(f"--suite {name}:")
        for piece, plan in suite.items():
            print(f"  {piece:26} {plan.command}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
