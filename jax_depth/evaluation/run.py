"""Running a model over a benchmark."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jax_depth.config import Resample
from jax_depth.data.sample import SampleError
from jax_depth.depth_map import DepthMap
from jax_depth.evaluation.benchmark import Benchmark, Judgement
from jax_depth.evaluation.records import Records
from jax_depth.inference.preprocess import preprocess
from jax_depth.inference.resample import resize_cubic

Predict = Callable[[list[np.ndarray]], list[DepthMap]]


def run(
    benchmark: Benchmark,
    predict: Predict,
    records: Records,
    batch_size: int = 1,
    process: int = 0,
    processes: int = 1,
) -> Iterator[tuple[str, str | None]]:
    """Judge every picture that has no record; yield each one's name as it is done.

    A picture that cannot be read, predicted or judged is recorded with its reason and
    does not touch the others.

    Args:
        benchmark: pictures and how to judge.
        predict: pictures uint8 (h, w, 3) to depth maps of the same sizes.
        records: where judgements go.
        batch_size: pictures per call of `predict`.
        process, processes: this process takes every `processes`-th picture.

    Yields:
        The name, and why it was skipped or None.
    """
    done = records.judged()
    mine = range(process, len(benchmark.names), processes)
    todo = [index for index in mine if index not in done]
    batches = [todo[i : i + batch_size] for i in range(0, len(todo), batch_size)]
    with ThreadPoolExecutor(4) as pool:
        # One batch is read while the one before is predicted.
        reading = _read_batch(pool, benchmark, batches[0]) if batches else []
        for number, batch in enumerate(batches):
            read = [future.result() for future in reading]
            after = batches[number + 1 : number + 2]
            reading = _read_batch(pool, benchmark, after[0]) if after else []
            good = [item for item in read if not isinstance(item, str)]
            maps = iter(_predict_each(predict, [rgb for rgb, _ in good]))
            truths = [None if isinstance(item, str) else item[1] for item in read]
            outcomes = [item if isinstance(item, str) else next(maps) for item in read]
            results = pool.map(_judge, [benchmark] * len(batch), outcomes, truths)
            for index, result in zip(batch, results, strict=True):
                name = benchmark.names[index]
                if isinstance(result, str):
                    records.skip(index, name, result)
                    yield name, result
                else:
                    records.add(index, name, result)
                    yield name, None


def transformers_predictor(estimator: Any, resample: Resample) -> Predict:
    """Return a predictor that brings maps to the pictures' sizes as transformers does.

    Its `post_process_depth_estimation` resizes bicubically without aligned corners;
    the original code, and the estimator, bilinearly with them.
    """

    config = estimator.config

    def predict(pictures: list[np.ndarray]) -> list[DepthMap]:
        pixels = [
            preprocess(picture, config, size=estimator.size, resample=resample)
            for picture in pictures
        ]
        maps: list[Any] = [None] * len(pictures)
        for shape in {one.shape for one in pixels}:
            group = [i for i, one in enumerate(pixels) if one.shape == shape]
            batch = estimator.run(np.concatenate([pixels[i] for i in group]))
            for i, values in zip(group, np.asarray(batch), strict=True):
                maps[i] = to_map(values, pictures[i].shape[:2])
        return maps

    def to_map(values: np.ndarray, size: tuple[int, int]) -> DepthMap:
        return DepthMap(
            resize_cubic(values[..., None], size)[..., 0].astype(np.float32),
            kind=config.kind,
            unit="m" if config.kind == "metric_depth" else None,
            model=config.name,
            max_depth=config.max_depth,
        )

    return predict


def _read_batch(pool: ThreadPoolExecutor, benchmark: Benchmark, batch: Sequence[int]):
    return [pool.submit(_read, benchmark, index) for index in batch]


def _read(benchmark: Benchmark, index: int) -> tuple[np.ndarray, Any] | str:
    try:
        return benchmark.read(index)
    except SampleError as error:
        return str(error)


def _predict_each(predict: Predict, pictures: list[np.ndarray]) -> list[DepthMap | str]:
    """Return a map, or the reason against it, for every picture."""
    if not pictures:
        return []
    try:
        return list(predict(pictures))
    except (ValueError, MemoryError) as error:
        if len(pictures) == 1:
            return [f"it cannot be predicted: {error}"]
    return [_predict_each(predict, [picture])[0] for picture in pictures]


def _judge(
    benchmark: Benchmark, depth: DepthMap | str | None, truth: Any
) -> Judgement | str:
    if not isinstance(depth, DepthMap):
        return depth or ""
    try:
        return benchmark.judge(depth, truth)
    except ValueError as error:
        return str(error)
