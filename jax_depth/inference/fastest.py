"""Which engine, dtype and batch computes a model fastest on this machine."""

import dataclasses
import importlib.util
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jax_depth.formats.atomic import atomic
from jax_depth.inference.estimator import load
from jax_depth.weights import cache_directory

# A slower way is preferred if it is this close: less memory, or exact arithmetic.
_CLOSE = 1.03
_LEAST_RUNS = 2


@dataclasses.dataclass(frozen=True)
class Timing:
    """One way to compute a model.

    Attributes:
        engine, dtype, batch_size: as `jax_depth.load` takes them.
        seconds: of one picture, the median of the runs; None if it failed.
        runs: how many were timed.
        problem: why it failed, in a sentence.
    """

    engine: str
    dtype: str
    batch_size: int
    seconds: float | None = None
    runs: int = 0
    problem: str = ""


def ways(batches: tuple[int, ...] | None = None) -> list[tuple[str, str, int]]:
    """Return every (engine, dtype, batch) this machine has, plain ones first."""
    platform = jax.local_devices()[0].platform
    engines = ["xla"]
    if platform == "cpu" and importlib.util.find_spec("openvino"):
        engines.append("openvino")
    batches = batches or ((1, 4) if platform == "cpu" else (1, 8, 32))
    return list(itertools.product(engines, ("float32", "bfloat16"), batches))


def measure(
    model: str,
    size: tuple[int, int] | None = None,
    batches: tuple[int, ...] | None = None,
    seconds: float = 60.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Timing]:
    """Time every way in turn; yields each as it is known.

    Args:
        model: as `jax_depth.load` takes it.
        size: (height, width) of what the network sees, the model's own when None.
        batches: pictures at once to try; by the platform when None.
        seconds: to spend on timed runs and, roughly, in all. A way that has begun is
            finished, at least two runs of it.
        clock: of seconds.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: as `jax_depth.load`.
    """
    todo = ways(batches)
    end = clock() + seconds
    for number, (engine, dtype, batch) in enumerate(todo):
        share = (end - clock()) / (len(todo) - number)
        try:
            yield _time(model, size, engine, dtype, batch, clock, share)
        except (ValueError, RuntimeError, MemoryError) as error:
            if not number:  # not even the plain way: the model itself
                raise
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Timing(engine, dtype, batch, problem=problem)


def _time(model, size, engine, dtype, batch, clock, share: float) -> Timing:
    start = clock()
    estimator: Any = load(model, dtype, batch_size=batch, engine=engine)
    height, width = size or (estimator.config.image_size,) * 2
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(batch, height, width, 3)).astype(np.float32)
    jax.block_until_ready(estimator.run(pixels))  # compiles
    times: list[float] = []
    while len(times) < _LEAST_RUNS or clock() - start < share:
        before = clock()
        jax.block_until_ready(estimator.run(pixels))
        times.append((clock() - before) / batch)
    return Timing(engine, dtype, batch, statistics.median(times), len(times))


def best(timings: list[Timing], dtype: str | None = None) -> Timing:
    """Return the fastest, or one as good as it that computes exactly or needs less.

    Args:
        timings: what was measured.
        dtype: among those of this dtype only; all when None.

    Raises:
        ValueError: nothing could be measured.
    """
    timed = [t for t in timings if t.seconds and dtype in (None, t.dtype)]
    if not timed:
        problems = {t.problem for t in timings if t.problem}
        raise ValueError(f"nothing could be measured ({'; '.join(sorted(problems))})")
    least = min(t.seconds or 0 for t in timed)
    close = [t for t in timed if (t.seconds or 0) <= _CLOSE * least]
    return min(close, key=lambda t: (t.dtype != "float32", t.batch_size, t.seconds))


def _store() -> Path:
    return cache_directory() / "fastest.json"


def _machine() -> str:
    device = jax.local_devices()[0]
    return f"{device.platform} {device.device_kind} jax {jax.__version__}"


def remember(model: str, found: Timing) -> Path:
    """Keep a recommendation for this machine; return the file it is in."""
    path = _store()
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {**_known()}
    known[f"{model} on {_machine()}"] = dataclasses.asdict(found)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return path


def recommended(model: str) -> Timing | None:
    """Return what `remember` kept for this machine; None where nothing is known."""
    row = _known().get(f"{model} on {_machine()}")
    try:
        return Timing(**row) if row else None
    except TypeError:  # of another version
        return None


def _known() -> Mapping[str, Any]:
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
