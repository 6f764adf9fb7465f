"""SIGTERM and Ctrl-C, checked between steps.

A single process handles both itself. With several, jax handles SIGTERM: whichever host
gets it, all agree on a step; Ctrl-C is passed on as if it were SIGTERM.
"""

import contextvars
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import jax

_BOTH = (signal.SIGTERM, signal.SIGINT)
_POLL = 0.05  # seconds
T = TypeVar("T")


class Stopped(Exception):
    """The run was asked to end while something ran that cannot be interrupted.

    Args:
        step: that is saved; None for the one the process started from.
    """

    def __init__(self, step: int | None = None):
        super().__init__()
        self.step = step


class Stop:
    """A context in which SIGTERM and the first Ctrl-C ask a run to save and end.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._requested = False
        self._since = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        # Python delivers signals to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            several = jax.process_count() > 1
            # A handler for SIGTERM would replace the one jax installed.
            for number in (signal.SIGINT,) if several else _BOTH:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def request(self) -> None:
        """Request what a signal would request."""
        self._requested = True
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)

    def asked(self, step: int) -> bool:
        """Whether to end after `step`; the same answer on every process."""
        if jax.process_count() == 1:
            return self.signal is not None or self._requested
        from jax.experimental import multihost_utils

        agreed = multihost_utils.reached_preemption_sync_point(step)
        return bool(agreed)

    def patiently(
        self, function: Callable[..., T], *args: Any, grace: float = 0.0
    ) -> T:
        """Return `function(*args)`, for what compiles: minutes without a step.

        It runs in another thread, since a handler would wait until XLA returns to the
        main one. Several processes have to agree on a step, so there it runs here.

        Args:
            function: to call.
            args: of it.
            grace: seconds that it may go on after a signal.

        Raises:
            Stopped: a signal came first; the thread is left to itself.
        """
        if not self._before or jax.process_count() > 1:
            return function(*args)
        done: list[T] = []
        failed: list[BaseException] = []
        context = contextvars.copy_context()

        def work() -> None:
            try:
                done.append(context.run(function, *args))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_POLL)
            if self.signal is None:
                continue
            thread.join(max(0.0, self._since + grace - time.monotonic()))
            if thread.is_alive():
                raise Stopped
        if failed:
            raise failed[0]
        return done[0]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal, self._since = number, time.monotonic()
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)
