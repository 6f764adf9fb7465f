"""SIGTERM and Ctrl-C, asked for between two steps."""

import signal
import threading
from types import FrameType

import jax


class Stop:
    """A context in which SIGTERM and the first Ctrl-C ask a run to save and end.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        # Python delivers signals to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def asked(self, step: int) -> bool:
        """Whether to end after `step`; the same answer on every process."""
        if jax.process_count() == 1:
            return self.signal is not None
        from jax.experimental import multihost_utils

        # The scheduler may tell one host alone; jax agrees on a common step.
        agreed = multihost_utils.reached_preemption_sync_point(step)
        return bool(agreed)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
