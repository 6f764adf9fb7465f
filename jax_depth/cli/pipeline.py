"""Photos through a model into files: reading and writing beside the computing."""

import collections
import errno
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from jax_depth import outputs
from jax_depth.cli.job import Job, OutputFolderError
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import read_image

Estimate = Callable[[list[Any]], list[DepthMap]]

# After these no further file can be written either.
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


# A job and what went wrong with it, in one sentence; None when all was written.
Outcome = tuple[Job, str | None]


def process(
    jobs: Iterable[Job],
    estimate: Estimate,
    batch_size: int,
    write: Callable[[Job, np.ndarray, DepthMap], None],
) -> Generator[Outcome]:
    """Yield the outcome of every job, in order but for photos that fail.

    Photos are read two batches ahead and written one batch behind, so at most five
    batches are in memory. A photo that cannot be read, computed or written does not
    touch the others.

    Args:
        jobs: what to do.
        estimate: list of uint8 or float pictures (h, w, 3) -> list of depth maps.
        batch_size: photos per call of `estimate`.
        write: writes a job's results from the picture and its map; in a thread of its
            own, one job at a time. An OSError or ValueError of it fails that job.

    Raises:
        OutputFolderError: the disk is full or read-only.
    """
    todo = iter(jobs)
    reads: collections.deque[tuple[Job, Future[np.ndarray]]] = collections.deque()
    writes: collections.deque[tuple[Job, Future[None]]] = collections.deque()
    readers, writer = ThreadPoolExecutor(2), ThreadPoolExecutor(1)
    try:
        while True:
            batch: list[tuple[Job, np.ndarray]] = []
            while len(batch) < batch_size:
                while len(reads) < 2 * batch_size and (job := next(todo, None)):
                    reads.append((job, readers.submit(read_image, job.photo)))
                if not reads:
                    break
                job, read = reads.popleft()
                try:
                    batch.append((job, read.result()))
                except (OSError, ValueError, MemoryError) as error:
                    yield job, _sentence(job, error)
            if not batch:
                break
            maps = _estimate_each(estimate, [pixels for _, pixels in batch])
            for (job, pixels), depth in zip(batch, maps, strict=True):
                if isinstance(depth, Exception):
                    yield job, _sentence(job, depth)
                else:
                    task = writer.submit(write, job, pixels, depth)
                    writes.append((job, task))
            while len(writes) > batch_size:
                yield _settled(*writes.popleft())
        while writes:
            yield _settled(*writes.popleft())
    finally:
        readers.shutdown(cancel_futures=True)
        writer.shutdown(cancel_futures=True)


def _estimate_each(
    estimate: Estimate, pictures: Sequence[np.ndarray]
) -> list[DepthMap | Exception]:
    """Return a map or the reason against it for every picture."""
    import jax

    failures = (ValueError, MemoryError, jax.errors.JaxRuntimeError)
    try:
        return list(estimate(list(pictures)))
    except failures as error:
        if len(pictures) == 1:
            return [error]
    # One of them is to blame, or all together are too large: one by one then.
    return [_estimate_each(estimate, [picture])[0] for picture in pictures]


def write_maps(
    job: Job, pixels: np.ndarray, depth: DepthMap, style: Mapping[str, Any]
) -> None:
    """Write a map in every format of its job.

    Args:
        job: whose results are files of `outputs.FORMATS`.
        pixels: the picture, uint8 or float32 (h, w, 3).
        depth: its map.
        style: options of the picture formats: `colormap`, `low`, `high`.
    """
    for name, path in job.results.items():
        options: dict[str, Any] = {}
        if name in ("png8", "color", "side-by-side"):
            options = {"low": style.get("low"), "high": style.get("high")}
        if name in ("color", "side-by-side"):
            options["colormap"] = style["colormap"]
        if name == "side-by-side":
            options["photo"] = as_bytes(pixels)
        path.parent.mkdir(parents=True, exist_ok=True)
        outputs.save(depth, path, name, **options)


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 RGB of a picture that may be float32 in [0, 1]."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _settled(job: Job, task: Future[None]) -> Outcome:
    try:
        task.result()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _HOPELESS:
            raise OutputFolderError(_sentence(job, error)) from None
        return job, _sentence(job, error)
    return job, None


def _sentence(job: Job, error: Exception) -> str:
    """Return one line that names the photo and what happened to it."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return (
            f"'{job.photo}': not enough memory; try a smaller --size, --batch-size "
            "or --model"
        )
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"'{job.photo}': cannot write '{error.filename}': {error.strerror}"
    # The readers' sentences quote the name by `repr`, as here.
    name, text = repr(str(job.photo)), " ".join(str(error).splitlines())
    return text if name in text or str(job.photo) in text else f"{name}: {text}"
