"""Many users, one device: pictures that wait together are computed together."""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from jax_depth.app.messages import Refusal
from jax_depth.inference.stream import item_of

Run = Callable[[np.ndarray], Any]


@dataclasses.dataclass(frozen=True)
class Computed:
    """What the network gave for one picture.

    Attributes:
        values: its `Output`: NumPy arrays (h, w) at the network's size.
        together: how many pictures were computed in the same call.
    """

    values: Any
    together: int


@dataclasses.dataclass(frozen=True)
class _Waiting:
    key: Hashable
    run: Run
    pixels: np.ndarray
    deadline: float
    future: Future[Computed]


class Batcher:
    """A thread that owns the device, and a queue of bounded length before it.

    The picture that has waited longest decides what is computed next: it, and with it
    the others of its model and size that wait, up to `batch_size`. Nothing waits for a
    batch to fill: while one is computed the next gathers.
    """

    def __init__(self, capacity: int, batch_size: int):
        """Start the thread.

        Args:
            capacity: pictures that may wait.
            batch_size: pictures of one call.
        """
        self.capacity = capacity
        self.batch_size = batch_size
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._last_use = time.monotonic()
        self._thread = threading.Thread(
            target=self._work, name="jax-depth-batcher", daemon=True
        )
        self._thread.start()

    def submit(
        self,
        key: Hashable,
        run: Run,
        pixels: Float32[np.ndarray, "1 h w 3"],
        seconds: float,
    ) -> Future[Computed]:
        """Queue one picture.

        Args:
            key: of the model; pictures are computed together if key and size agree.
            run: (b, h, w, 3) -> `Output`; that of the first picture of a batch is
                called, in the batcher's thread.
            pixels: preprocessed.
            seconds: after which the picture is given up if it still waits.

        Returns:
            A future of the result; cancelling it removes the picture from the queue.

        Raises:
            Refusal: 429 the queue is full, 503 the server stops.
        """
        deadline = time.monotonic() + seconds
        key = (key, pixels.shape[1:])
        item = _Waiting(key, run, pixels, deadline, Future())
        with self._changed:
            if self._closed:
                raise Refusal(503, "the server is stopping; send the picture later")
            if len(self._queue) >= self.capacity:
                raise Refusal(
                    429,
                    f"{self.capacity} pictures are waiting, the most this server "
                    "queues; send it again in a moment",
                )
            self._queue.append(item)
            self._last_use = time.monotonic()
            self._changed.notify()
        return item.future

    @property
    def waiting(self) -> int:
        """Pictures that wait for the device."""
        return len(self._queue)

    @property
    def idle_seconds(self) -> float:
        """How long ago the last picture came, or the start; 0 if any waits."""
        return 0.0 if self._queue else time.monotonic() - self._last_use

    def close(self, seconds: float | None = None) -> None:
        """Refuse what waits and end the thread after the running call.

        Args:
            seconds: to wait for the running call; None for as long as it takes.
        """
        with self._changed:
            self._closed = True
            left, self._queue = self._queue, collections.deque()
            self._changed.notify_all()
        for item in left:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(Refusal(503, "the server is stopping"))
        self._thread.join(seconds)

    def _work(self) -> None:
        while batch := self._next_batch():
            _compute(batch)

    def _next_batch(self) -> list[_Waiting]:
        """Wait for pictures and take a batch; empty only when closed."""
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return []
                batch = self._take()
                if batch:
                    return batch

    def _take(self) -> list[_Waiting]:
        batch, others = [], collections.deque()
        for item in self._queue:
            fits = not batch or item.key == batch[0].key
            if len(batch) == self.batch_size or not fits:
                others.append(item)
            elif item.future.set_running_or_notify_cancel():
                if time.monotonic() > item.deadline:
                    item.future.set_exception(too_slow())
                else:
                    batch.append(item)
        self._queue = others
        return batch


def too_slow() -> Refusal:
    """Return the refusal for a picture whose time is up."""
    return Refusal(
        504, "the server is busy and did not get to the picture in time; try later"
    )


def _compute(batch: list[_Waiting]) -> None:
    """Run a batch in one call; if that fails, its pictures one by one."""
    try:
        values = _run(batch)
    except Exception as error:
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        # One of them is at fault, or together they are too large.
        for item in batch:
            _compute([item])
        return
    for number, item in enumerate(batch):
        item.future.set_result(Computed(item_of(values, number), len(batch)))


def _run(batch: list[_Waiting]) -> Any:
    pixels = np.concatenate([item.pixels for item in batch])
    return jax.device_get(batch[0].run(pixels))
