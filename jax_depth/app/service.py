"""A stranger's picture to a depth map: decoding, the queue, the photo's own size."""

import asyncio
import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from jax_depth.app.batching import Batcher, Computed, too_slow
from jax_depth.app.decode import decode
from jax_depth.app.limits import Limits
from jax_depth.app.messages import Refusal
from jax_depth.app.metrics import Metrics
from jax_depth.app.models import check_size, find_model
from jax_depth.app.stopping import Work
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import Pixels, as_bytes
from jax_depth.inference.estimator import Estimator

T = TypeVar("T")
# Seconds after which a patient photo looks again for a place, and seconds that running
# threads get to end when the server stops.
_PATIENCE, _LAST = 0.05, 1.0


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A photo and its depth.

    Attributes:
        photo: uint8 (h, w, 3) RGB, as `decode` gives it.
        depth: (h, w), of the photo's own size.
        together: how many photos were computed in the same call.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    depth: DepthMap
    together: int


class Service:
    """Models, their queue and the threads that decode and encode.

    Decoding, resizing and encoding run on a thread per core, so that however many
    users there are, few photos are in memory unpacked.

    Attributes:
        models: by name, the first is the default.
        limits: of this server.
        batcher: the queue before the device.
        work: what is in work.
        metrics: what was done.
    """

    def __init__(
        self, models: Mapping[str, Estimator], limits: Limits, batch_size: int
    ):
        """Start the threads.

        Args:
            models: by name, the first is the default.
            limits: of this server.
            batch_size: pictures of one call of the device.
        """
        self.models = models
        self.limits = limits
        # Photos, and one batch of a video.
        self.batcher = Batcher(limits.waiting + batch_size, batch_size)
        self.work = Work()
        self._threads = ThreadPoolExecutor(os.cpu_count() or 2, "jax-depth-photo")
        self._admitted = 0
        self.metrics = Metrics()
        self.metrics.in_work.set_function(lambda: self._admitted)
        self.metrics.queue.set_function(lambda: self.batcher.waiting)

    @property
    def admitted(self) -> int:
        """Pictures in work or waiting, at most `limits.waiting`."""
        return self._admitted

    async def predict(
        self,
        source: bytes | Path,
        *,
        name: str = "",
        model: str | None = None,
        size: int | None = None,
        patient: bool = False,
    ) -> Prediction:
        """Return the depth of a picture.

        Args:
            source: the file, or its bytes.
            name: what sentences call it.
            model: one of `models`; the first when None.
            size: short side in pixels at which the network sees it; the model's own
                when None.
            patient: wait for a place when all are taken, instead of being refused.

        Raises:
            Refusal: see there; every failure that a user can cause is one.
        """
        estimator = find_model(self.models, model)
        size = check_size(estimator, size, self.limits)
        async with self.work.one():
            while patient and self._admitted >= self.limits.waiting:
                await asyncio.sleep(_PATIENCE)
            with self._admission():
                try:
                    timer = self.metrics.pictures.labels(estimator.config.name).time()
                    async with asyncio.timeout(self.limits.seconds):
                        with timer:
                            return await self._predict(source, name, estimator, size)
                except TimeoutError:
                    raise too_slow() from None

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function of pictures on one of the threads for them."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *args)

    def close(self) -> None:
        """Stop the threads; what waits is refused.

        A call of the device or a large picture may outlast this by far: threads that
        do not end in a second are left to themselves.
        """
        self.batcher.close(_LAST)
        end = functools.partial(self._threads.shutdown, cancel_futures=True)
        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(_LAST)

    async def _predict(
        self, source: bytes | Path, name: str, estimator: Estimator, size: int
    ) -> Prediction:
        pixels, seen = await self.in_thread(
            functools.partial(self._prepare, source, name, estimator, size)
        )
        waiting = self.batcher.submit(
            estimator.config.name, estimator.run, seen, self.limits.seconds
        )
        try:
            computed = await asyncio.wrap_future(waiting)
        except (Refusal, asyncio.CancelledError):
            raise
        except Exception as error:
            raise failed(error) from error
        self.metrics.together.observe(computed.together)
        return await self.in_thread(_finish, pixels, computed, estimator)

    def _prepare(
        self, source: bytes | Path, name: str, estimator: Estimator, size: int
    ) -> tuple[Pixels, np.ndarray]:
        pixels = decode(source, self.limits, name)
        try:
            seen = estimator.prepare(
                pixels,
                size=size,
                max_tokens=self.limits.tokens,
                name=name or "the picture",
            )
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        return pixels, seen

    @contextlib.contextmanager
    def _admission(self) -> Iterator[None]:
        """Count a photo in work; only the event loop touches the count."""
        limit = self.limits.waiting
        if self._admitted >= limit:
            raise Refusal(
                429,
                f"{limit} pictures are being worked on, the most this server takes at "
                "a time; send it again in a moment",
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1


def _finish(pixels: Pixels, computed: Computed, estimator: Estimator) -> Prediction:
    depth = estimator.finish(computed.values, pixels.shape[:2])
    if not np.isfinite(depth.values).all():
        raise Refusal(422, f"{estimator.config.name} gave no finite depth for it")
    return Prediction(as_bytes(pixels), depth, computed.together)


def failed(error: Exception) -> Refusal:
    """Return what a user is told when the device failed."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return Refusal(503, "not enough memory for this picture; try a smaller size")
    return Refusal(500, f"the model failed: {' '.join(str(error).split())}")
