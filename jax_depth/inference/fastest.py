"""Which engine, dtype and batch computes a model fastest on this machine."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.formats.optional import installed
from jax_depth.inference.estimator import Estimator
from jax_depth.inference.recommended import Timing

# A slower way is preferred if it is this close: less memory, or exact arithmetic.
_CLOSE = 1.03
_LEAST_RUNS = 2


def ways(batches: tuple[int, ...] | None = None) -> list[tuple[str, str, int]]:
    """Return every (engine, dtype, batch) this machine has, plain ones first."""
    platform = jax.local_devices()[0].platform
    engines = ["xla"]
    if platform == "cpu" and installed("openvino"):
        engines.append("openvino")
    batches = batches or ((1, 4) if platform == "cpu" else (1, 8, 32))
    return list(itertools.product(engines, ("float32", "bfloat16"), batches))


def measure(
    params: Params,
    config: ModelConfig,
    size: tuple[int, int] | None = None,
    batches: tuple[int, ...] | None = None,
    seconds: float = 60.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Timing]:
    """Time every way in turn; yields each as it is known.

    Args:
        params, config: the model, as `read_params` gives them.
        size: (height, width) of what the network sees, the model's own when None.
        batches: pictures at once to try; by the platform when None.
        seconds: to spend on timed runs and, roughly, in all. A way that has begun is
            finished, at least two runs of it.
        clock: of seconds.

    Raises:
        ValueError: a size that the model cannot process.
    """
    todo = ways(batches)
    end = clock() + seconds
    for number, (engine, dtype, batch) in enumerate(todo):
        share = (end - clock()) / (len(todo) - number)
        try:
            yield _time(params, config, size, engine, dtype, batch, clock, share)
        except (ValueError, RuntimeError, MemoryError) as error:
            if not number:  # not even the plain way works: the model is at fault
                raise
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Timing(engine, dtype, batch, problem=problem)


def _time(params, config, size, engine, dtype, batch, clock, share: float) -> Timing:
    start = clock()
    config = dataclasses.replace(config, dtype=dtype)
    estimator: Any = Estimator(params, config, batch_size=batch, engine=engine)
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
    """Return the fastest; among equally fast ones float32, then the smallest batch.

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
