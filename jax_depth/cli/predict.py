"""`jax-depth predict`: depth of photos, into files.

Everything `run.py` of Depth Anything does is here: --img-path, --input-size, --outdir,
--encoder, --pred-only and --grayscale mean what they mean there.
"""

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from jax_depth.catalog import ALIASES
from jax_depth.cli.batch import add_batch_arguments, run_batch
from jax_depth.cli.compilation_cache import use_compilation_cache
from jax_depth.cli.display_range import shown_range
from jax_depth.cli.result_names import result_paths
from jax_depth.cli.usage import UsageError, names_among, positive
from jax_depth.config import Resample

DEFAULT_FORMATS = "side-by-side,png16"
DEFAULT_MODEL = "tiny"
ENCODERS = ("vits", "vitb", "vitl", "vitg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="a photo, a folder (searched recursively), a glob, or a .txt file with "
        "one of these a line",
    )
    parser.add_argument(
        "--img-path", metavar="PATH", action="append", default=[], help="same as PATH"
    )
    model = parser.add_argument_group("model")
    add_model_arguments(model)
    add_engine_arguments(model)
    _add_output_arguments(parser.add_argument_group("output"))


def add_model_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare the options of a model."""
    model = group.add_mutually_exclusive_group()
    model.add_argument(
        "--model",
        help="a name that `jax-depth models` lists, or a folder with weights "
        f"(default: {DEFAULT_MODEL}, which comes with the package)",
    )
    model.add_argument(
        "--encoder",
        choices=ENCODERS,
        help="a Depth Anything V2 model by its encoder, as in the original run.py",
    )
    group.add_argument(
        "--weights",
        "--load-from",
        metavar="FILE",
        help="a .pth or .safetensors file of that model",
    )
    group.add_argument(
        "--size",
        "--input-size",
        type=positive,
        metavar="PIXELS",
        help="short side at which the network sees a photo (default: the model's "
        "own, 518 for Depth Anything)",
    )
    group.add_argument(
        "--resample",
        choices=get_args(Resample),
        help="resize photos as the original code or as transformers does (default: "
        "the model's own, original for Depth Anything)",
    )
    group.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="what the network computes in (default: %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="photos computed at once (default: 1 a CPU device, 8 a GPU or TPU)",
    )


def add_engine_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare what computes a model, and how its memory and programs are kept."""
    group.add_argument(
        "--engine",
        choices=("xla", "openvino"),
        default="xla",
        help="what computes: xla on every platform of JAX, or openvino on the CPU, "
        "faster, with the package of that name (default: %(default)s)",
    )
    group.add_argument(
        "--executables",
        type=Path,
        metavar="FOLDER",
        help="compiled programs that `jax-depth export --executable` made here",
    )
    group.add_argument(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep freed memory for the next photo, which saves the CPU a tenth to "
        "two fifths of its time and costs some 200 MB (default: on)",
    )


def _add_output_arguments(group: argparse._ArgumentGroup) -> None:
    from jax_depth.map_files import FORMATS
    from jax_depth.outputs.colormap import COLORMAPS

    group.add_argument(
        "-o",
        "--outdir",
        type=Path,
        default=Path("depth_out"),
        help="folder for the results, made if missing (default: %(default)s)",
    )
    group.add_argument(
        "--format",
        type=names_among(FORMATS),
        default=DEFAULT_FORMATS.split(","),
        metavar="A,B",
        help=f"comma-separated, of: {', '.join(FORMATS)} (default: {DEFAULT_FORMATS})",
    )
    color = group.add_mutually_exclusive_group()
    color.add_argument(
        "--colormap",
        choices=COLORMAPS,
        default="Spectral_r",
        help="of color and side-by-side (default: %(default)s, near is red)",
    )
    color.add_argument(
        "--grayscale", action="store_true", help="same as --colormap gray"
    )
    group.add_argument(
        "--range",
        metavar="RANGE",
        default="photo",
        help="values that pictures span: photo (each its own, the default), calibrated "
        "(see `jax-depth calibrate`; its file will do too) or LOW:HIGH",
    )
    group.add_argument(
        "--pred-only",
        action="store_true",
        help="the coloured depth without the photo: color instead of side-by-side",
    )
    add_batch_arguments(group)


def run(args: argparse.Namespace) -> int:
    """Compute and write the depth of every photo; return the exit code."""
    words = [*args.paths, *args.img_path]
    if not words:
        raise UsageError("give at least one PATH: a photo, a folder, a glob, a .txt")
    formats = _chosen_formats(args)
    return run_batch(
        args,
        words,
        lambda stem: result_paths(stem, formats),
        lambda _: _prepared(args, formats),
    )


def load_estimator(args: argparse.Namespace) -> Any:
    """Return the model that was asked for, with the compilation cache on.

    Commands without options of an engine get XLA and keep freed memory.

    Raises:
        UsageError: a name, a file or an option that makes no model.
    """
    use_compilation_cache()
    import jax_depth

    source, model = weights_source(args)
    given = vars(args)
    try:
        estimator = jax_depth.load(
            source,
            model=model,
            dtype=args.dtype,
            size=args.size,
            resample=args.resample,
            batch_size=args.batch_size,
            engine=given.get("engine", "xla"),
            keep_memory=given.get("keep_memory", True),
        )
        use_executables(estimator, given.get("executables"))
    except ValueError as error:
        raise UsageError(str(error)) from None
    return estimator


def weights_source(args: argparse.Namespace) -> tuple[str, str | None]:
    """Return what to load and, where that is a file, which model it holds."""
    name = ALIASES[args.encoder] if args.encoder else args.model
    if args.weights is None:
        return name or DEFAULT_MODEL, None
    if not os.path.exists(args.weights):
        raise UsageError(f"--weights: '{args.weights}' does not exist")
    # Without a name the file must say itself what it holds.
    return args.weights, name


def use_executables(estimator: Any, folder: Path | None) -> None:
    """Let an estimator take its programs from a folder that the user names.

    Without one, programs for a CPU are kept beside the cached weights: jax's own cache
    saves the compilation alone, this also tracing and the import of Flax.
    """
    from jax_depth.cli.compilation_cache import executables_folder
    from jax_depth.inference.engines.programs import ExecutableFolder

    if folder is not None:
        if not folder.is_dir():
            raise UsageError(
                f"--executables: '{folder}' is no folder; make it with `jax-depth "
                f"export --executable -o '{folder}'`"
            )
        estimator.compile = ExecutableFolder(folder, estimator.compile, strict=True)
    elif estimator.engine == "xla" and (cache := executables_folder()):
        estimator.compile = ExecutableFolder(cache, estimator.compile)


def _prepared(
    args: argparse.Namespace, formats: list[str]
) -> tuple[Any, Callable[..., None]]:
    """Return the estimator and what writes its maps."""
    # Late: this imports jax, which the help does without.
    from jax_depth.cli.pipeline import write_maps

    estimator = _estimator(args, formats)
    low, high = shown_range(args.range, estimator.config, args)
    style = {
        "colormap": "gray" if args.grayscale else args.colormap,
        "low": low,
        "high": high,
    }
    return estimator, functools.partial(write_maps, style=style)


def _estimator(args: argparse.Namespace, formats: list[str]) -> Any:
    estimator = load_estimator(args)
    kind = estimator.config.kind
    if "png-mm" in formats and kind != "metric_depth":
        raise UsageError(
            f"--format png-mm needs a metric model, but {estimator.config.name} gives "
            f"{kind}; use png16"
        )
    return estimator


def _chosen_formats(args: argparse.Namespace) -> list[str]:
    formats = list(args.format)
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
