"""The models a server offers, and what it compiles before anyone asks."""

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PIL import Image

from jax_depth.deploy.app.batching import Batcher
from jax_depth.deploy.app.examples import example_photos
from jax_depth.deploy.app.limits import Limits
from jax_depth.deploy.app.refusal import Refusal
from jax_depth.inference.estimator import Estimator, load
from jax_depth.inference.preprocess import processing_size

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
# looked at again. Who starts a server mostly drops a photo at once, and another soon.
_QUIET, _PATIENCE = 15.0, 0.5


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
        ValueError, FileNotFoundError, ConnectionError: from `load`; or two models are
            called the same.
    """
    models: dict[str, Estimator] = {}
    for name in names:
        estimator = load(name, **options)
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
            422, f"no model here is called {name!r}; there are: {', '.join(models)}"
        )
    return models[name]


def check_size(estimator: Estimator, size: int | None, limits: Limits) -> int:
    """Return the short side at which the network is to see a photo.

    Raises:
        Refusal: 422, outside the patch size and the limit.
    """
    if size is None:
        return estimator.size
    least = estimator.config.encoder.patch_size
    if not least <= size <= limits.size:
        raise Refusal(422, f"size is {size}; give {least} to {limits.size} pixels")
    return size


def warm_up(estimator: Estimator, batcher: Batcher) -> None:
    """Compile for photos of the usual shapes and for the examples.

    A program is for one size and one number of pictures, up to the batch size in
    powers of two. Those of single pictures are ready when this returns, since the
    first user is alone; the others are made in a thread while no user was there for a
    while, and one who comes meanwhile waits for one compilation at most.
    """
    shapes = _shapes(estimator)
    _compile(estimator, batcher, shapes, 1, 0.0)
    threading.Thread(
        target=_compile_batches, args=(estimator, batcher, shapes), daemon=True
    ).start()


def _compile_batches(
    estimator: Estimator, batcher: Batcher, shapes: list[tuple[int, int]]
) -> None:
    count = 2
    while count <= batcher.batch_size:
        _compile(estimator, batcher, shapes, count, _QUIET)
        count *= 2


def _compile(
    estimator: Estimator,
    batcher: Batcher,
    shapes: list[tuple[int, int]],
    count: int,
    quiet: float,
) -> None:
    for height, width in shapes:
        while batcher.idle_seconds < quiet:
            time.sleep(_PATIENCE)
        blank = np.zeros((1, height, width, 3), np.float32)
        many = np.repeat(blank, count, axis=0)
        run = lambda _, many=many: estimator.run(many)[:1]
        with contextlib.suppress(Refusal):  # the server stops, or users came first
            batcher.submit("warm-up", run, blank, 600, user=False).result()


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
