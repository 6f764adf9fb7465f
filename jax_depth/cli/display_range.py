"""Which values pictures and films span: `--range` of `predict` and of `video`."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from jax_depth.catalog import ALIASES
from jax_depth.cli.usage import UsageError


def calibration_path(model: str) -> Path:
    """Return where the calibration of a model is stored by default."""
    from jax_depth.weights import cache_directory

    return cache_directory() / "ranges" / f"{model}.json"


def add_legend_option(group: argparse._ArgumentGroup) -> None:
    """Declare `--legend`, of commands that write coloured pictures."""
    group.add_argument(
        "--legend",
        action="store_true",
        help="add a legend to coloured and grey pictures: which end is near, with "
        "numbers",
    )


def shown_range(
    text: str | None,
    config: Any,
    args: argparse.Namespace | None = None,
    modes: str = "photo",
) -> tuple[float | None, float | None]:
    """Return the ends of the range that `predict --range` asks for.

    Args:
        text: "photo" or None: each photo's own, (None, None); "calibrated": that of
            `calibrate`; LOW:HIGH; or a file that `calibrate -o` wrote.
        config: of the model that is about to run: its name and kind must be those
            calibrated.
        args: of the command line, which say how the user named the model.
        modes: what else the command takes, for messages.

    Raises:
        UsageError: none of these, or a calibration that is missing or of another model.
    """
    from jax_depth.outputs.calibration import RangeCalibration, checked_ends

    if text in (None, "photo"):
        return None, None
    low, colon, high = str(text).partition(":")
    if colon:
        try:
            return checked_ends((float(low), float(high)))
        except ValueError:
            raise UsageError(
                f"--range {text}: write LOW:HIGH, two finite numbers, LOW below HIGH "
                "in float32, such as 0:80"
            ) from None
    refuse_calibration(config, f"--range {text}")
    path = calibration_path(config.name) if text == "calibrated" else Path(str(text))
    try:
        found = RangeCalibration.load(path)
    except FileNotFoundError:
        options = _model_options(args) or f"--model {config.name}"
        if text != "calibrated":
            options += f" -o {shlex.quote(str(path))}"
            modes += ", calibrated"
        raise UsageError(
            f"--range {text}: {path} does not exist; make it with `jax-depth calibrate "
            f"{options} PHOTOS`, or give {modes} or LOW:HIGH"
        ) from None
    except OSError as error:
        raise UsageError(
            f"--range {text}: {path} cannot be read ({error.strerror}); give {modes}, "
            "calibrated, LOW:HIGH or a file that `jax-depth calibrate -o` wrote"
        ) from None
    except ValueError as error:
        raise UsageError(f"--range {text}: {error}") from None
    if (found.model, found.kind) != (config.name, config.kind):
        raise UsageError(
            f"--range {text}: {path} is of {found.model} ({found.kind}), not of "
            f"{config.name} ({config.kind}), whose values mean something else"
        )
    return found.low, found.high


def clip_range(args: argparse.Namespace, config: Any) -> Any:
    """Return the `range` of `jax_depth.video.video_depth.VideoDepth`.

    Raises:
        UsageError: as `shown_range`.
    """
    text, modes = args.range, ("stream", "clip", "frame")
    if text in modes:
        return text
    if text == "photo":
        raise UsageError("--range photo is for predict; use stream, clip or frame")
    return shown_range(text, config, args, ", ".join(modes))


def refuse_calibration(config: Any, what: str) -> None:
    """Raise UsageError for a model whose values have no common range over photos."""
    if config.canonical_focal is not None:
        raise UsageError(
            f"{what}: what {config.name} gives depends on each photo's focal length, "
            "so photos share no range; give `predict --range LOW:HIGH`, in metres "
            "where that length is known"
        )


def _model_options(args: argparse.Namespace | None) -> str:
    """Return the options by which `calibrate` loads the model that was asked for."""
    given = vars(args) if args else {}
    name = ALIASES[given["encoder"]] if given.get("encoder") else given.get("model")
    named = {"--model": name, "--weights": given.get("weights")}
    return " ".join(f"{key} {shlex.quote(word)}" for key, word in named.items() if word)
