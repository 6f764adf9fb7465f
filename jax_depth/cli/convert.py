"""`jax-depth convert`: published weights to this library's format, and back."""

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

from jax_depth.cli.summary import add_json_argument, conclude
from jax_depth.cli.usage import UsageError, number

_FILES = (".safetensors", ".pth", ".pt", ".bin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a .pth, .pt, .bin, .ckpt or .safetensors file, published or fine-tuned, "
        "a transformers folder, a native model directory, or a name",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--to",
        metavar="DST",
        help="a new directory, or for the original layout a .safetensors or .pth file",
    )
    where.add_argument(
        "--to-hub-folder",
        metavar="FOLDER",
        help="a native model directory with a model card, laid out as a Hugging Face "
        "repository; for transformers use --layout transformers --to",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="which model SRC holds or was fine-tuned from, a name that `jax-depth "
        "models` lists; needed where several share its keys",
    )
    parser.add_argument(
        "--max-depth",
        type=number(lambda metres: 0 < metres < math.inf, "a number of metres above 0"),
        metavar="METRES",
        help="with --model, a metric one: the largest depth SRC was fine-tuned for, "
        "which a weight file does not record (default: that of --model)",
    )
    parser.add_argument(
        "--name",
        help="with --model: what to call a fine-tuned model (default: as --model); "
        "its model card then says what it was fine-tuned from",
    )
    parser.add_argument(
        "--layout",
        choices=("native", "original", "transformers"),
        help="what to write (default: original if DST ends in "
        f"{', '.join(_FILES)}, else native)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="how weights are stored (default: as in SRC; float32 for a name)",
    )
    parser.add_argument(
        "--nest",
        metavar="KEY",
        help="which entry of a training script's checkpoint holds the weights, "
        "such as model_ema (default: chosen, and named on stderr, if there are "
        "several)",
    )
    parser.add_argument(
        "--allow-nonfinite",
        action="store_true",
        help="convert weights that are NaN or infinite, which are refused otherwise",
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Convert, say what was written, and return the exit code."""
    import jax_depth_convert
    from jax_depth.weights import means_name, read_params

    if not args.source or "" in (args.to, args.to_hub_folder):
        raise UsageError("SRC and DST have names; one of them is empty")
    if args.to_hub_folder is not None:
        return _to_hub_folder(args)
    destination = Path(args.to)
    default = "original" if destination.suffix in _FILES else "native"
    layout = args.layout or default
    if means_name(args.source):
        params, config = read_params(args.source, model=_model(args))
        jax_depth_convert.write(params, config, destination, layout, args.dtype)
    else:
        config = jax_depth_convert.convert(
            args.source,
            _model(args),
            destination,
            to=layout,
            dtype=args.dtype,
            allow_nonfinite=args.allow_nonfinite,
            nest=args.nest,
        )
    return _written(args, destination, config.name, layout)


def _model(args: argparse.Namespace) -> Any:
    """Return the model that SRC holds: None, a name, or a config of one's own."""
    if args.max_depth is None and args.name is None:
        return args.model
    if args.model is None:
        raise UsageError(
            "--name and --max-depth need --model NAME, the model that SRC was "
            "fine-tuned from"
        )
    from jax_depth_convert.conversion import config_of

    config = config_of(args.model)
    if args.max_depth is not None:
        if config.max_depth is None:
            raise UsageError(
                f"--max-depth does not apply to {config.name}, whose depth has no "
                "largest value; leave it out"
            )
        config = dataclasses.replace(config, max_depth=args.max_depth)
    return dataclasses.replace(config, name=args.name or config.name)


def _to_hub_folder(args: argparse.Namespace) -> int:
    import jax_depth_convert
    from jax_depth.catalog import ALIASES
    from jax_depth.weights import means_name, read_params

    if args.layout not in (None, "native"):
        raise UsageError(
            f"--to-hub-folder writes the native layout, not {args.layout}; use --to"
        )
    folder = Path(args.to_hub_folder)
    if means_name(args.source):
        params, config = read_params(args.source, model=_model(args))
    else:
        params, config = jax_depth_convert.load(
            args.source,
            _model(args),
            allow_nonfinite=args.allow_nonfinite,
            nest=args.nest,
        )
    base = ALIASES.get(args.model, args.model) if args.name else None
    jax_depth_convert.write_hub_folder(params, config, folder, args.dtype, base=base)
    return _written(args, folder, config.name, "native")


def _written(args: argparse.Namespace, path: Path, name: str, layout: str) -> int:
    size = (path / "model.safetensors" if path.is_dir() else path).stat().st_size
    document = {"destination": str(path), "model": name, "layout": layout}
    text = f"{path}: {name}, {layout} layout, {size / 1e6:.1f} MB"
    conclude(args, document | {"bytes": size}, text)
    return 0
