"""SIGTERM and Ctrl-C, asked for between two steps.

A process alone handles both itself. Of several, jax handles SIGTERM: whichever host is
told, all agree on a step; Ctrl-C is passed on as if it were SIGTERM.
"""

import signal
import threading
from types import FrameType

import jax

_BOTH = (signal.SIGTERM, signal.SIGINT)


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
            several = jax.process_count() > 1
            # A handler for SIGTERM would replace the one jax installed.
            for number in (signal.SIGINT,) if several else _BOTH:
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

        agreed = multihost_utils.reached_preemption_sync_point(step)
        return bool(agreed)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)
