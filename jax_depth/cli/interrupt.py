"""Ctrl-C that is never lost."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Yield a check that raises KeyboardInterrupt if Ctrl-C was pressed in the body.

    Ctrl-C raises at once as usual. But when it arrives while XLA calls back into
    Python, XLA prints the exception and continues, so a loop has to check.
    """
    pressed = threading.Event()

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    def handle(number: int, frame: FrameType | None) -> None:
        pressed.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check  # Python delivers signals to the main thread alone
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupt:
    """Ctrl-C that waits while something must be finished, see `shielded_interrupt`."""

    def __init__(self) -> None:
        self._pressed = False
        self._shields = 0

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Hold a first Ctrl-C back during the body; it raises at the end of it."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            pressed = self._pressed and not self._shields
            self._pressed = self._pressed and not pressed
        if pressed:
            raise KeyboardInterrupt

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise now, or later if shielded; a second press raises at once."""
        if self._shields and not self._pressed:
            self._pressed = True
            return
        self._pressed = False
        raise KeyboardInterrupt


@contextlib.contextmanager
def shielded_interrupt() -> Iterator[Interrupt]:
    """Yield what holds Ctrl-C back where a file would otherwise be left unfinished."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # Python delivers signals to the main thread alone
        return
    before = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
