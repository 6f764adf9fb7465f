"""Which values the pictures of a batch span: `predict --range`."""

from pathlib import Path
from typing import Any

from jax_depth.cli.usage import UsageError


def calibration_path(model: str) -> Path:
    """Return where the calibration of a model lies unless told otherwise."""
    from jax_depth.weights import cache_directory

    return cache_directory() / "ranges" / f"{model}.json"


def shown_range(text: str | None, config: Any) -> tuple[float | None, float | None]:
    """Return the ends of the range that `predict --range` asks for.

    Args:
        text: "photo" or None: each photo's own, (None, None); "calibrated": that of
            `calibrate`; LOW:HIGH; or a file that `calibrate -o` wrote.
        config: of the model that is about to run: its name and kind must be those
            calibrated.

    Raises:
        UsageError: none of these, or a calibration that is missing or of another model.
    """
    from jax_depth.inference.calibration import RangeCalibration

    if text in (None, "photo"):
        return None, None
    low, colon, high = str(text).partition(":")
    if colon:
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = (1.0, 0.0)
        if not ends[0] < ends[1] < float("inf"):
            raise UsageError(f"--range {text}: write LOW:HIGH, such as 0:80")
        return ends
    path = calibration_path(config.name) if text == "calibrated" else Path(str(text))
    try:
        found = RangeCalibration.load(path)
    except FileNotFoundError:
        raise UsageError(
            f"--range {text}: {path} does not exist; make it with `jax-depth calibrate "
            f"--model {config.name} PHOTOS`, or give photo or LOW:HIGH"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--range {text}: {error}") from None
    if (found.model, found.kind) != (config.name, config.kind):
        raise UsageError(
            f"--range {text}: {path} is of {found.model} ({found.kind}), not of "
            f"{config.name} ({config.kind}), whose values mean something else"
        )
    return found.low, found.high
