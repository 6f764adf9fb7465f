"""The models a server offers, and what it compiles before anyone asks."""

import contextlib
import importlib.resources
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from jax_depth.app.batching import Batcher
from jax_depth.app.limits import Limits
from jax_depth.app.messages import Refusal
from jax_depth.inference.estimator import Estimator, load
from jax_depth.inference.preprocess import processing_size
from jax_depth.inference.prompted import refuse_without_prompt

# Of cameras and screens: 4:3, 3:2, 16:9, upright and lying, and a square.
_USUAL_PHOTOS = (
    (3000, 4000),
    (4000, 3000),
    (3000, 4500),
    (4500, 3000),
    (2160, 3840),
    (3840, 2160),
    (3000, 3000),
)
# Seconds without a user before anything is compiled in the background, and until it is
# looked at again. People who start a server mostly drop a photo at once, and another
# soon after.
_QUIET, _PATIENCE = 15.0, 0.5
# Seconds that a compilation gets to end when the server stops.
_LAST = 1.0


def load_models(
    names: Sequence[str | os.PathLike[str]], **options
) -> Mapping[str, Estimator]:
    """Load models, the first of which is the default.

    Args:
        names: of the catalogue, or folders.
        **options: of `jax_depth.load`: `size`, `dtype`, `batch_size`.

    Returns:
        Estimators by the names that users choose from: those of their configs.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: from `load`; or two models share
            a name, or one needs more than photos.
    """
    models: dict[str, Estimator] = {}
    for name in names:
        estimator = load(name, **options)
        refuse_without_prompt(estimator.config)
        if estimator.config.name in models:
            raise ValueError(
                f"two of the models are called {estimator.config.name!r}; users could "
                "not tell them apart, so leave one out"
            )
        models[estimator.config.name] = estimator
    return MappingProxyType(models)


def find_model(models: Mapping[str, Estimator], name: str | None) -> Estimator:
    """Return a model by name, the first for None.

    Raises:
        Refusal: 422, no such model.
    """
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise Refusal(
            422,
            f"no model here is called {name[:100]!r}; there are: {', '.join(models)}",
        )
    return models[name]


def check_size(estimator: Estimator, size: int | None, limits: Limits) -> int:
    """Return the short side at which the network is to see a photo.

    Raises:
        Refusal: 422, outside the patch size and the limit.
    """
    if size is None:
        return estimator.size
    least, most = size_range(estimator, limits)
    if not least <= size <= most:
        raise Refusal(422, f"size is {size}; give {least} to {most} pixels")
    return size


def size_range(estimator: Estimator, limits: Limits) -> tuple[int, int]:
    """Return the least and the largest short side that a server computes at."""
    return estimator.config.encoder.patch_size, limits.size


@contextlib.contextmanager
def warm_up(estimator: Estimator, batcher: Batcher) -> Iterator[None]:
    """Compile for photos of the usual shapes and for the examples.

    A program is for one size and one number of pictures, up to the batch size in
    powers of two. Those of single pictures are ready when the block begins, since the
    first user is alone. The others are made during it, when no user has been there for
    a while and outside the batcher, so that a user who comes then does not wait for
    them.
    """
    blanks = [np.zeros((1, *shape, 3), np.float32) for shape in _shapes(estimator)]
    pool = ThreadPoolExecutor(os.cpu_count(), "jax-depth-warm-up")
    try:
        list(pool.map(estimator.run, blanks))
    finally:  # at once when told to stop: a compilation cannot be interrupted
        pool.shutdown(wait=False, cancel_futures=True)
    stop = threading.Event()
    thread = threading.Thread(
        target=_compile_batches,
        args=(estimator, batcher, blanks, stop),
        name="jax-depth-warm-up",
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_LAST)


def _compile_batches(
    estimator: Estimator,
    batcher: Batcher,
    blanks: list[np.ndarray],
    stop: threading.Event,
) -> None:
    count = 2
    while count <= batcher.batch_size:
        for blank in blanks:
            while not stop.is_set() and batcher.idle_seconds < _QUIET:
                stop.wait(_PATIENCE)
            if stop.is_set():
                return
            estimator.run(np.repeat(blank, count, axis=0))
        count *= 2


def _shapes(estimator: Estimator) -> list[tuple[int, int]]:
    """Return the sizes at which the network sees usual photos and the examples."""
    photos = list(_USUAL_PHOTOS)
    for path in example_photos():
        with Image.open(path) as image:
            photos.append((image.height, image.width))
    shapes = (
        processing_size(
            height,
            width,
            estimator.size,
            estimator.config.encoder.patch_size,
            estimator.resample,
        )
        for height, width in photos
    )
    return list(dict.fromkeys(shapes))


def example_photos() -> list[Path]:
    """Return the photos of the package, by name; examples/README.md says whose."""
    folder = importlib.resources.files("jax_depth") / "assets" / "examples"
    return sorted(Path(str(item)) for item in folder.iterdir() if ".jpg" in item.name)
