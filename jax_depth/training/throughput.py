"""How fast a run is: pictures, operations, and time spent waiting for data."""

import contextlib
import time
from collections.abc import Iterator

import jax

# Dense bfloat16 operations per second of one device as its maker states them.
_PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


class Throughput:
    """Clocks of a run, read at each line of the log.

    Args:
        batch: pictures per step over all devices.
        flops: operations on one picture, backward pass included.
    """

    def __init__(self, batch: int, flops: int):
        self._batch, self._flops = batch, flops
        self._start: float | None = None
        self._left_out = self._waited = 0.0
        kind = jax.devices()[0].device_kind
        self._peak = next((v for k, v in _PEAKS.items() if kind.startswith(k)), None)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in the body as waiting for data."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time in the body out: saving and evaluation."""
        start = time.monotonic()
        yield
        self._left_out += time.monotonic() - start

    def since_last(self, steps: int) -> dict[str, float]:
        """Return the rates since the last call, nothing at the first.

        The first stretch compiles, so it says nothing about speed.

        Args:
            steps: taken since the last call.
        """
        now = time.monotonic()
        start, self._start = self._start, now
        left_out, waited = self._left_out, self._waited
        self._left_out = self._waited = 0.0
        if start is None:
            return {}
        seconds = max(now - start - left_out, 1e-9)
        rate = steps * self._batch / seconds / jax.device_count()
        rates = {
            "images_per_second_per_device": rate,
            "flops_per_second_per_device": rate * self._flops,
            "waiting_for_data": min(waited / seconds, 1.0),
        }
        if self._peak:
            rates["mfu"] = rate * self._flops / self._peak
        return rates
