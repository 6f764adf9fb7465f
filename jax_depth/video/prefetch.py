"""An iterator that runs ahead in a thread of its own."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds to wait for the thread to notice that nobody listens any more. It may be stuck
# in a read that never ends, of a pipe for example, and is then left behind.
_PATIENCE = 3.0


def prefetch(items: Iterable[T], ahead: int) -> Generator[T]:
    """Yield `items`, made in a thread that is at most `ahead` of them in front.

    What the thread raises is raised here, after the items before it. Closing this
    generator stops the thread, and closes `items` in it if that is a generator.
    """
    made: queue.Queue[tuple[bool, Any]] = queue.Queue(ahead)
    stop = threading.Event()

    def put(more: bool, item: Any) -> bool:
        while not stop.is_set():
            try:
                made.put((more, item), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(True, item):
                    break
        except BaseException as raised:  # handed over, whatever it is
            error = raised
        finally:
            if isinstance(items, Generator):
                items.close()
            put(False, error)

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            more, item = made.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        stop.set()
        thread.join(_PATIENCE)
