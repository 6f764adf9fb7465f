"""`jax-depth compare`: several models over the same photos, as one report."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from jax_depth.cli.compilation_cache import use_compilation_cache
from jax_depth.cli.model_options import (
    add_dtype_option,
    add_engine_option,
    add_resample_option,
)
from jax_depth.cli.photos import Photo, find_photos
from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import (
    INTERRUPTED,
    UsageError,
    loading_models,
    make_folder,
    positive,
)
from jax_depth.formats.folders import PHOTO_SUFFIXES
from jax_depth.formats.printable import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", help="photos, as in predict"
    )
    parser.add_argument(
        "--models",
        metavar="MODEL",
        nargs="+",
        required=True,
        help="names from `jax-depth models`, folders with weights, NAME=FILE for"
        " a weight file, random:NAME for random weights; photos may follow "
        "them",
    )
    parser.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=Path("report"),
        help="folder for report.html, study.json, ranges.csv and agreement.csv "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="short side (default: each model's)",
    )
    add_resample_option(parser)
    add_dtype_option(parser)
    add_engine_option(parser)
    parser.add_argument(
        "--show",
        type=int,
        default=12,
        metavar="N",
        help="photos shown in the report (default: %(default)s)",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Study every photo; write the report, also of what an interrupted run has."""
    from jax_depth.study.models import is_photos, open_models

    if args.show < 1:
        raise UsageError(f"--show {args.show} is too few; use at least 1")
    words = [
        word
        for word in args.models
        # A missing picture is a misspelt name of a photo.
        if not (is_photos(word) or Path(word).suffix.lower() in PHOTO_SUFFIXES)
    ]
    paths = [*args.paths, *(word for word in args.models if word not in words)]
    if not paths:
        raise UsageError(
            "give at least one PATH: a photo, a folder, a glob; what follows --models "
            f"({', '.join(words)}) was taken for models"
        )
    if not words:
        raise UsageError("give at least one model after --models")
    photos, problems = find_photos(paths, args.outdir)
    make_folder(args.outdir)
    use_compilation_cache()
    with loading_models():
        options = ("dtype", "size", "resample", "engine")
        estimators = open_models(words, **{name: vars(args)[name] for name in options})
    failures = [problem.sentence for problem in problems]
    study, interrupted = _study(estimators, photos, failures)
    failures += study.failed.values()
    for sentence in failures:
        print(printable(f"jax-depth: {sentence}"), file=sys.stderr)
    if study.pictures:
        _write(args, study)
    elif args.json:
        error = "no photo could be compared"
        conclude(args, {"error": error, "failed": failures}, None)
    if interrupted:
        print("jax-depth: interrupted; the report holds what was done", file=sys.stderr)
        return INTERRUPTED
    return 1 if failures or not study.pictures else 0


def _study(
    estimators: dict[str, Any], photos: list[Photo], failures: list[str]
) -> tuple[Any, bool]:
    """Return the study, and whether it was interrupted."""
    from tqdm import tqdm

    from jax_depth.formats.image import read_image
    from jax_depth.study.run import begin, run

    def pictures():
        for photo in photos:
            try:
                # Pages are UTF-8, which names of files need not be.
                name = os.fsencode(photo.path.relative_to(photo.root))
                yield name.decode(errors="backslashreplace"), read_image(photo.path)
            except (OSError, ValueError, MemoryError) as error:
                failures.append(str(error))

    study = begin(estimators)
    done = run(study, estimators, pictures())
    try:
        for _ in tqdm(done, total=len(photos), unit="photo", disable=None):
            pass
    except KeyboardInterrupt:
        return study, True
    return study, False


def _write(args: argparse.Namespace, study: Any) -> None:
    from jax_depth.formats.atomic import atomic
    from jax_depth.study.document import agreement_csv, ranges_csv, to_document
    from jax_depth.study.findings import headlines
    from jax_depth.study.html import to_html

    document = json.dumps(to_document(study), indent=2, ensure_ascii=False)
    for name, text in (
        ("study.json", document + "\n"),
        ("ranges.csv", ranges_csv(study)),
        ("agreement.csv", agreement_csv(study)),
        ("report.html", to_html(study, args.show)),
    ):
        with atomic(args.outdir / name) as path:
            path.write_text(text, encoding="utf-8")
    if args.json:
        print(json.dumps(to_document(study), indent=2))  # ASCII, as others print it
        return
    for sentence in headlines(study):
        print(printable(sentence))
    print(printable(f"written to {args.outdir / 'report.html'}"))
