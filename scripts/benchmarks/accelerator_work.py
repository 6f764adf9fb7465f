"""What the steps of `accelerator` share: models, pictures, clocks and results."""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth.catalog import MODELS
from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig

# A square of 238 pixels has enough tokens for every form of attention; heads of 64
# channels.
MINIATURE = ModelConfig(
    "miniature",
    EncoderConfig(128, 4, 2, (0, 1, 2, 3), mlp_hidden=256, position_grid=17),
    HeadConfig(16, (8, 8, 16, 16), output_channels=8),
)
GROUPS = 7


@dataclasses.dataclass(frozen=True)
class Job:
    """What a step is given.

    Attributes:
        work: folder of weights and maps.
        out: folder of results.
        end: of its time, by `time.monotonic`.
        toy: whether everything is a miniature.
        extra: an argument for one of the steps.
    """

    work: Path
    out: Path
    end: float
    toy: bool
    extra: str = ""

    def config(self, size: str, dtype: str = "float32") -> ModelConfig:
        """Return a model; its position embedding is resized as in transformers."""
        config = MINIATURE if self.toy else MODELS[f"depth-anything-v2-{size}"].config
        encoder: Any = dataclasses.replace(config.encoder, position_offset=0.0)
        return dataclasses.replace(config, encoder=encoder, dtype=dtype)

    def side(self, side: int = 518) -> int:
        """Return the side of a picture in pixels."""
        return side if not self.toy else 238 * side // 518 // 14 * 14

    def batch(self, batch: int) -> int:
        """Return how many pictures a call takes."""
        return min(batch, 2) if self.toy else batch

    def seconds(self, seconds: float) -> float:
        """Return for how long a row is timed."""
        return 0.1 if self.toy else seconds

    def left(self) -> float:
        """Return how many seconds are left."""
        return self.end - time.monotonic()

    def wait_for(self, name: str) -> Path:
        """Wait until a path in the work folder is complete, and return it."""
        done = self.work / f"{name}.done"
        while not done.exists():
            if self.left() < 1:
                raise SystemExit(f"{name} was not ready in time")
            time.sleep(0.1)
        return self.work / name

    def emit(self, step: str, row: str, **values: Any) -> None:
        """Append one line to the results."""
        emit(self.out, step=step, row=row, **values)


def emit(out: Path, **values: Any) -> None:
    """Append one line to a folder's results."""
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps(values) + "\n")


def pictures(count: int, side: int) -> np.ndarray:
    """Return pixels as the network takes them, the first the same for any count."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, side, side, 3), np.float32)


def groups(
    run: Callable[[], Any], wait: Callable[[Any], Any], seconds: float
) -> list[float]:
    """Return seconds per call, one figure for each group of calls sent back to back."""
    wait(run())
    start = time.perf_counter()
    wait(run())
    count = max(1, round(seconds / GROUPS / (time.perf_counter() - start)))
    times = []
    for _ in range(GROUPS):
        start = time.perf_counter()
        for _ in range(count):
            result = run()
        wait(result)
        times.append((time.perf_counter() - start) / count)
    return times


def rates(times: list[float], batch: int, flops: float = 0) -> dict[str, float]:
    """Return the figures of a row."""
    median = statistics.median(times)
    return {
        "batch": batch,
        "ms_per_image": 1e3 * median / batch,
        "images_per_second": batch / median,
        "spread": (max(times) - min(times)) / median,
        "tflops": flops * batch / median / 1e12,
    }


def distance(found: Any, expected: Any) -> float:
    """Return the greatest difference, in standard deviations of what is expected."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    # `max` keeps a NaN, which is below no bound.
    return float(np.abs(found - expected).max() / expected.std())


def problem(error: Exception) -> str:
    """Return an exception as one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"
