"""Photos through a model into files: reading and writing beside the computing."""

import collections
import errno
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth import outputs
from jax_depth.cli.photos import Job, OutputFolderError
from jax_depth.depth_map import DepthMap
from jax_depth.formats.exif import camera_from_focal, find_camera, is_stated
from jax_depth.formats.image import as_bytes
from jax_depth.formats.reduced import Read, Reduced
from jax_depth.inference.draft import read_for
from jax_depth.inference.resample import resize_bicubic_uint8

# After these errors no further file can be written either.
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


# A job and what went wrong with it, in one sentence; None when all was written.
Outcome = tuple[Job, str | None]


def process(
    jobs: Iterable[Job],
    estimator: Any,
    write: Callable[[Job, np.ndarray, DepthMap], None],
) -> Generator[Outcome]:
    """Yield the outcome of every job, in order.

    Photos are read ahead and written behind, a few batches of each. A photo that cannot
    be read, computed or written does not affect the others.

    Args:
        jobs: what to do.
        estimator: whose `stream` computes.
        write: writes a job's results from the picture and its map; in a thread of its
            own, one job at a time. An OSError or ValueError of it fails that job.

    Raises:
        OutputFolderError: the disk is full or read-only.
    """
    pictures: dict[int, np.ndarray] = {}

    def read(job: Job) -> Read:
        name = str(job.photo) if job.file else None
        picture = read_for(estimator, job.file or job.photo, name=name)
        reduced = isinstance(picture, Reduced)
        pictures[id(job)] = picture.pixels if reduced else picture
        return picture

    outcomes: collections.deque[tuple[Job, Any]] = collections.deque()
    writer = ThreadPoolExecutor(1)
    maps = estimator.stream(jobs, read=read)
    try:
        for job, depth in maps:
            if isinstance(depth, Exception):
                pictures.pop(id(job), None)  # none where reading failed
                outcomes.append((job, depth))
            else:
                pixels = pictures.pop(id(job))
                outcomes.append((job, writer.submit(write, job, pixels, depth)))
            while len(outcomes) > estimator.batch_size + 1:
                yield _settled(*outcomes.popleft())
        while outcomes:
            yield _settled(*outcomes.popleft())
    finally:
        maps.close()
        writer.shutdown(cancel_futures=True)


def write_maps(
    job: Job, pixels: np.ndarray, depth: DepthMap, style: Mapping[str, Any]
) -> None:
    """Write a map in every format of its job.

    Args:
        job: whose results are files of `outputs.FORMATS`.
        pixels: the picture, uint8 or float32 (h, w, 3); smaller than its map where it
            was read for a draft.
        depth: its map.
        style: options of the picture formats: `colormap`, `low`, `high`, `legend`; and
            `focal`, see `with_focal_length`, and `fill_sky`.
    """
    file = job.file or job.photo
    depth = with_focal_length(depth, file, style.get("focal"))
    if style.get("fill_sky"):
        depth = depth.sky_filled()
    for name, path in job.results.items():
        options: dict[str, Any] = {}
        if name in ("png8", "color", "side-by-side"):
            names = ("low", "high", "legend")
            options = {name: style[name] for name in names if name in style}
        if name in ("color", "side-by-side"):
            options["colormap"] = style["colormap"]
        if name == "side-by-side":
            options["photo"] = _shown(pixels, depth.shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        outputs.save(depth, path, name, **options)


def _shown(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a picture in 8 bits, enlarged to its map's size if it was read smaller."""
    photo = as_bytes(pixels)
    return photo if photo.shape[:2] == shape else resize_bicubic_uint8(photo, shape)


def with_focal_length(
    depth: DepthMap, photo: Path, focal: float | None = None
) -> DepthMap:
    """Return a map that only lacks a focal length in metres, where one is known.

    Args:
        depth: a map; one that lacks more, or nothing, stays as it is.
        photo: its file, whose EXIF data may tell.
        focal: in pixels of the photo, instead.
    """
    if depth.metres_per_focal is None:
        return depth
    if focal is not None:
        return depth.to_metric(camera=camera_from_focal(depth.shape, focal))
    camera, source = find_camera(photo, depth.shape)
    if is_stated(source):
        return depth.to_metric(camera=camera)
    # The same text is printed once, however many photos it applies to.
    warnings.warn(
        f"{depth.model} gives depth without a unit where a photo's file does not state "
        "its focal length; give it with --focal for metres",
        stacklevel=2,
    )
    return depth


def _settled(job: Job, task: Exception | Future[None]) -> Outcome:
    if isinstance(task, Exception):
        return job, _sentence(job, task)
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
