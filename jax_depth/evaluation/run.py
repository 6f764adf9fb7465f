"""Running a model over a benchmark."""

import collections
import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from jax_depth.data.sample import SampleError
from jax_depth.depth_map import DepthMap
from jax_depth.evaluation.benchmark import Benchmark, Judgement
from jax_depth.evaluation.records import Records
from jax_depth.inference.stream import host_threads, stream


def run(
    benchmark: Benchmark,
    estimator: Any,
    records: Records,
    batch_size: int | None = None,
    process: int = 0,
    processes: int = 1,
) -> Iterator[tuple[str, str | None]]:
    """Score every picture that has no record; yield each one's name when it is done.

    A picture that cannot be read, predicted or scored is recorded with the reason and
    does not affect the others.

    Args:
        benchmark: pictures and how to score them.
        estimator: takes pictures uint8 (h, w, 3) to depth maps of the same sizes, in
            the three steps of `Estimator`.
        records: where results go.
        batch_size: pictures run together; the estimator's own by default.
        process, processes: this process takes every `processes`-th picture.

    Yields:
        The name, and why it was skipped or None.
    """
    done = records.judged()
    mine = range(process, len(benchmark.names), processes)
    todo = [index for index in mine if index not in done]
    truths: dict[int, Any] = {}

    def read(index: int) -> np.ndarray:
        rgb, truths[index] = benchmark.read(index)
        return rgb

    def settled(index: int, task: Future[Judgement | str]) -> tuple[str, str | None]:
        name, result = benchmark.names[index], task.result()
        if isinstance(result, str):
            records.skip(index, name, result)
            return name, result
        records.add(index, name, result)
        return name, None

    maps = stream(todo, estimator, read=read, batch_size=batch_size)
    judged: collections.deque[tuple[int, Future[Judgement | str]]] = collections.deque()
    with contextlib.closing(maps), ThreadPoolExecutor(host_threads()) as pool:
        try:
            for index, depth in maps:
                truth = truths.pop(index, None)
                judged.append((index, pool.submit(_judge, benchmark, depth, truth)))
                while len(judged) > 2 * host_threads():
                    yield settled(*judged.popleft())
            while judged:
                yield settled(*judged.popleft())
        finally:
            while judged:  # also when interrupted: nothing computed is lost
                settled(*judged.popleft())


def _judge(
    benchmark: Benchmark, depth: DepthMap | Exception, truth: Any
) -> Judgement | str:
    if isinstance(depth, SampleError):
        return str(depth)
    if isinstance(depth, Exception):
        return f"it cannot be predicted: {depth}"
    try:
        return benchmark.judge(depth, truth)
    except ValueError as error:
        return str(error)
