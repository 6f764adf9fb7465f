"""The one loop over pictures: reading, preparing, computing and resizing back overlap.

Anything with many pictures (a list, a folder, a benchmark, the frames of a clip) gives
them to `stream` with what takes the three steps of a picture, usually an `Estimator`.
"""

import collections
import dataclasses
import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np

from jax_depth.formats.image import read_image
from jax_depth.formats.reduced import shape_of
from jax_depth.inference.draft import read_for

# Batches' worth of pictures that wait, prepared, for more of their size.
_WAITING = 4
# Batches on the device: one computes, the next is there when it ends.
_RUNNING = 2


class Steps(Protocol):
    """The three steps of a picture, as `Estimator` takes them."""

    @property
    def batch_size(self) -> int:
        """Pictures of one size that are run together."""
        ...

    def prepare(self, picture: Any, *, name: str | None = None) -> Any:
        """Picture -> pixels (1, h, w, 3); errors call it by its name."""
        ...

    def run(self, pixels: Any) -> Any:
        """Pixels (b, h, w, 3) -> `Output`; need not wait for the result."""
        ...

    def finish(self, output: Any, shape: tuple[int, int]) -> Any:
        """`Output` of one picture, and that picture's rows and columns -> result."""
        ...


def host_threads() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stream(
    items: Iterable[Any],
    steps: Any,
    *,
    read: Callable[[Any], Any] | None = None,
    finish: Callable[..., Any] | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    with_source: bool = False,
    beside: Callable[[Any, np.ndarray], np.ndarray] | None = None,
) -> Generator[tuple[Any, Any]]:
    """Yield every item with its result, or with the exception it raised, in order.

    Items are read and prepared, and results brought back, in threads of their own.
    Pictures of one size are run in batches; a batch that fails is run picture by
    picture, since one of them may be at fault, or together they may be too large. A few
    batches are in memory at a time, however many items there are.

    Args:
        items: advanced in the caller's thread, ahead of what is yielded. What it
            raises is raised here after the results of the items before.
        steps: what takes the three steps, see `Steps`; `prepare` and `finish` are
            called in several threads.
        read: item -> picture, as `read_for` takes it; called in the threads. The
            item itself by default.
        finish: instead of `steps.finish`.
        threads: to read and prepare in; as many as there are cores by default.
        batch_size: instead of `steps.batch_size`.
        with_source: give `finish` what was read as a third argument, if it is a file
            or has one: its camera is in there.
        beside: item and its picture -> a second input of the network, (1, ...), which
            `steps.run` gets after the pixels; called in the threads.

    Closing the generator ends its threads.
    """
    return _Stream(
        steps,
        read,
        finish or steps.finish,
        threads or host_threads(),
        batch_size or steps.batch_size,
        with_source,
        beside,
    )(items)


def collected(results: Iterable[tuple[Any, Any]], count: int) -> list[Any]:
    """Return the results of a `stream` of `count` items.

    Raises:
        Exception: the first that an item met, with the results until then in its
            attribute `maps`, None for the others.
    """
    maps: list[Any] = [None] * count
    for i, (_, result) in enumerate(results):
        if isinstance(result, Exception):
            result.maps = maps  # pyright: ignore[reportAttributeAccessIssue]
            raise result
        maps[i] = result
    return maps


@dataclasses.dataclass(eq=False)
class _Entry:
    """An item on its way."""

    item: Any
    number: int
    # None once the pixels have been run and may go; those who read it are before that.
    prepared: Any
    finished: Future[Any] = dataclasses.field(default_factory=Future)

    @property
    def begun(self) -> bool:
        """Whether there is or will be a result."""
        return self.prepared is None or self.finished.done()

    def result(self) -> Any:
        error = self.finished.exception()
        return self.finished.result() if error is None else error


class _Stream:
    def __init__(
        self,
        steps: Any,
        read: Callable[[Any], Any] | None,
        finish: Callable[..., Any],
        threads: int,
        batch_size: int,
        with_source: bool,
        beside: Callable[[Any, np.ndarray], np.ndarray] | None,
    ):
        self._steps, self._read, self._finish = steps, read, finish
        self._beside = beside
        self._size, self._with_source = batch_size, with_source
        self._ahead = threads + self._size
        # Items that come behind one that waits for others of its size, at most. More
        # than these and those in preparation are never held.
        self._patience = (_WAITING + _RUNNING) * self._size
        self._most = self._ahead + self._patience
        self._admitted = 0
        self._pool = ThreadPoolExecutor(threads, "jax-depth-stream")
        self._order: collections.deque[_Entry] = collections.deque()
        self._preparing: collections.deque[_Entry] = collections.deque()
        self._waiting: dict[tuple[Any, ...], list[_Entry]] = {}
        self._running: collections.deque[tuple[list[_Entry], Any]] = collections.deque()

    def __call__(self, items: Iterable[Any]) -> Generator[tuple[Any, Any]]:
        todo, more, error = iter(items), True, None
        self._interrupt: KeyboardInterrupt | None = None
        try:
            while True:
                if self._interrupt is not None:
                    yield from self._computed()
                    raise self._interrupt
                while self._order and self._order[0].finished.done():
                    entry = self._order.popleft()
                    yield entry.item, entry.result()
                if self._running and _is_ready(self._running[0][1]):
                    self._collect()
                room = len(self._preparing) < self._ahead
                if more and room and len(self._order) < self._most:
                    try:
                        self._admit(next(todo))
                    except StopIteration:
                        more = False
                    except Exception as raised:
                        more, error = False, raised
                    while self._preparing and self._preparing[0].prepared.done():
                        self._group()
                elif not self._proceed(more):
                    break
        finally:
            self._pool.shutdown(cancel_futures=True)
        if error is not None:
            raise error

    def _computed(self) -> Generator[tuple[Any, Any]]:
        """Yield what had been computed when Ctrl-C came: none of it is lost."""
        while self._running:
            self._collect()
        for entry in self._order:
            if entry.begun:
                yield entry.item, entry.result()

    def _proceed(self, more: bool) -> bool:
        """Wait for whatever helps most; return False when nothing is left.

        What is run together depends on the order of the items alone, not on which
        thread was quick: a batch that is not full waits while more can come.
        """
        if self._preparing:
            self._group()
        elif self._waiting and not more:
            self._run(self._oldest())
        elif self._running:
            self._collect()
        elif self._order:
            self._order[0].finished.exception()
        else:
            return False
        return True

    def _admit(self, item: Any) -> None:
        prepared = self._pool.submit(self._prepare, item)
        entry = _Entry(item, self._admitted, prepared)
        self._admitted += 1
        self._order.append(entry)
        self._preparing.append(entry)

    def _prepare(self, item: Any) -> tuple[Any, tuple[int, int], Any]:
        source = item if self._read is None else self._read(item)
        name = name_of(source)
        named = {} if name is None else {"name": name}
        if self._beside is None:
            picture = read_for(self._steps, source)
            inputs = (self._steps.prepare(picture, **named),)
        else:  # what stands beside a picture is compared with all of it
            picture = read_image(source)
            inputs = self._steps.prepare(picture, **named), self._beside(item, picture)
        return inputs, shape_of(picture), None if name is None else source

    def _group(self) -> None:
        """Add the next prepared picture to those of its size; run what is due."""
        entry = self._preparing.popleft()
        error = entry.prepared.exception()
        if error is not None:
            entry.finished.set_exception(error)
        else:
            size = tuple(x.shape for x in entry.prepared.result()[0])
            group = self._waiting.setdefault(size, [])
            group.append(entry)
            if len(group) >= self._size:
                self._run(size)
            elif sum(map(len, self._waiting.values())) >= _WAITING * self._size:
                self._run(self._oldest())
        if self._waiting:
            oldest = self._waiting[self._oldest()][0]
            if entry.number - oldest.number >= self._patience:
                self._run(self._oldest())

    def _oldest(self) -> tuple[Any, ...]:
        # Dicts keep the order in which their keys came.
        return next(iter(self._waiting))

    def _run(self, size: tuple[Any, ...]) -> None:
        batch = self._waiting.pop(size)
        while len(self._running) >= _RUNNING:
            self._collect()
        inputs = zip(*(entry.prepared.result()[0] for entry in batch), strict=True)
        try:
            output = self._steps.run(*map(np.concatenate, inputs))
        except KeyboardInterrupt as interrupt:
            self._interrupt = interrupt
        except Exception as error:
            self._one_by_one(batch, error)
        else:
            self._running.append((batch, output))

    def _collect(self) -> None:
        """Fetch the result that was started first and finish it in the threads."""
        batch, output = self._running.popleft()
        try:
            output = jax.device_get(output)
        except Exception as error:
            self._one_by_one(batch, error)
            return
        for number, entry in enumerate(batch):
            self._bring_back(entry, item_of(output, number))

    def _one_by_one(self, batch: list[_Entry], error: Exception) -> None:
        for entry in batch:
            if len(batch) > 1:
                try:
                    inputs = entry.prepared.result()[0]
                    output = jax.device_get(self._steps.run(*inputs))
                except Exception as own:
                    entry.finished.set_exception(own)
                else:
                    self._bring_back(entry, item_of(output, 0))
            else:
                entry.finished.set_exception(error)

    def _bring_back(self, entry: _Entry, output: Any) -> None:
        assert entry.prepared is not None
        _, shape, source = entry.prepared.result()
        more = (source,) if self._with_source else ()
        entry.finished = self._pool.submit(self._finish, output, shape, *more)
        entry.prepared = None  # its pixels are of no more use


def name_of(source: Any) -> str | None:
    """Return the file name of a picture, which its pixels do not know."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return getattr(source, "filename", None) or None


def item_of(output: Any, number: int) -> Any:
    """Return the `Output` of one picture of a batch."""
    return jax.tree.map(lambda leaf: leaf[number], output)


def _is_ready(output: Any) -> bool:
    return all(
        leaf.is_ready() for leaf in jax.tree.leaves(output) if hasattr(leaf, "is_ready")
    )
