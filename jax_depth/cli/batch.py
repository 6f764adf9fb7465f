"""A batch of photos through a model into files: what `predict` and `scene` share."""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax_depth.cli.batch_report import BatchReport
from jax_depth.cli.interrupt import remembered_interrupt
from jax_depth.cli.photos import Job, OutputFolderError, Photo, Problem, find_photos
from jax_depth.cli.result_names import result_stems
from jax_depth.cli.summary import add_json_argument
from jax_depth.cli.usage import INTERRUPTED, UsageError, make_folder
from jax_depth.formats.folders import PHOTO_SUFFIXES

_RESUME = "run it again with --skip-existing to continue"


def add_batch_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare the options of a batch that are not about its files."""
    group.add_argument(
        "--skip-existing",
        action="store_true",
        help="skip photos whose results all exist, to resume an interrupted run",
    )
    group.add_argument("--quiet", action="store_true", help="print failures only")
    add_json_argument(group)


def run_batch(
    args: argparse.Namespace,
    words: Sequence[str],
    results_of: Callable[[Path], Mapping[str, Path]],
    prepare: Callable[[Sequence[Job]], tuple[Any, Callable[..., None]]],
    details: Mapping[str, Any] | None = None,
    chosen: Callable[..., tuple[list[Photo], list[Problem]]] | None = None,
    stdin: Path | None = None,
) -> int:
    """Compute and write every photo that `words` mean; return the exit code.

    Args:
        args: `outdir`, `skip_existing`, `quiet` and `json` are used.
        words: of the command line.
        results_of: a photo's path below `outdir`, without suffix -> format -> file.
        prepare: the jobs -> the estimator and what writes the results, (job, pixels,
            depth) -> None. Called when there is something to do and the output folder
            can be written to.
        details: further entries of the JSON summary, read at the end.
        chosen: photos and `words` -> those to compute, and further problems.
        stdin: a file of what came on standard input, for the word `-`.

    Raises:
        UsageError: from `find_photos` or `prepare`, or the output folder is none.
    """
    photos, problems = find_photos(words, args.outdir, stdin)
    if chosen is not None:
        photos, more = chosen(photos, words)
        problems += more
    report = BatchReport(
        args.outdir, len(photos) + len(problems), quiet=args.quiet, as_json=args.json
    )
    code, ended = 0, {}
    with report.progress():
        for problem in problems:
            report.failed(problem)
        jobs = list(_jobs(photos, results_of, args, report))
        try:
            with remembered_interrupt() as check:
                if jobs:
                    _check_folder(args.outdir)
                    _process(jobs, *prepare(jobs), report, check)
        except OutputFolderError as error:
            code, ended = 1, {"error": f"{error}; stopped; once fixed, {_RESUME}"}
        except KeyboardInterrupt:
            code, ended = INTERRUPTED, {"error": f"interrupted; {_RESUME}"}
        if ended:
            report.say(ended["error"])
    report.summarise({**(details or {}), **ended})
    return code or (1 if report.failures else 0)


def _check_folder(outdir: Path) -> None:
    if outdir.suffix.lower() in PHOTO_SUFFIXES and not outdir.is_dir():
        raise UsageError(
            f"-o '{outdir}': results go to a folder, and that is the name of a "
            "picture; give a folder"
        )
    make_folder(outdir)


def _process(
    jobs: Sequence[Job],
    estimator: Any,
    write: Callable[..., None],
    report: BatchReport,
    check_interrupt: Callable[[], None],
) -> None:
    # Late: this imports jax, which the help does without.
    from jax_depth.cli.pipeline import process

    there: dict[int, Job] = {}  # written, and not reported yet

    def noted(job: Job, *result: Any) -> None:
        write(job, *result)
        there[id(job)] = job

    outcomes = process(jobs, estimator, noted)
    try:
        with contextlib.closing(outcomes):
            for job, problem in outcomes:
                there.pop(id(job), None)
                if problem is None:
                    report.done(job.photo)
                else:
                    report.failed(Problem(str(job.photo), problem))
                check_interrupt()
    finally:  # of a run that was stopped, what its writer still finished
        for job in there.values():
            report.done(job.photo)


def _jobs(
    photos: Sequence[Photo],
    results_of: Callable[[Path], Mapping[str, Path]],
    args: argparse.Namespace,
    report: BatchReport,
) -> Iterator[Job]:
    inputs = {os.path.realpath(photo.path) for photo in photos}
    for photo, stem in zip(photos, result_stems(photos), strict=True):
        results = results_of(args.outdir / stem)
        taken = [p for p in results.values() if os.path.realpath(p) in inputs]
        if taken:
            sentence = (
                f"'{photo.path}': its result '{taken[0]}' would overwrite another "
                "input; choose another folder with -o"
            )
            report.failed(Problem(str(photo.path), sentence))
        elif args.skip_existing and all(map(os.path.exists, results.values())):
            report.skipped(photo.path)
        else:
            yield Job(photo.path, results, photo.file)
