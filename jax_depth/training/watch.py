"""What a run keeps an eye on: steps that are not finite, minutes, a profile."""

import collections
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jax_depth.data.loader import Loader
from jax_depth.training.hosts import Hosts
from jax_depth.training.step import TrainState


class NotFinite(ValueError):
    """Step after step without a finite gradient; the message names the samples."""


class Clock:
    """Decides on saves by the clock, which all processes have to agree on."""

    def __init__(self, minutes: float):
        self._seconds, self._last = 60 * minutes, time.monotonic()

    def due(self, saved: bool, log: bool, hosts: Hosts) -> bool:
        """Whether to save now; `saved` says that a save happens anyway."""
        if saved:
            self._last = time.monotonic()
        if saved or not self._seconds:
            return False
        over = time.monotonic() - self._last >= self._seconds
        if jax.process_count() > 1:
            # An exchange, so not at every step.
            over = log and hosts.total(over)[0] > 0
        if over:
            self._last = time.monotonic()
        return over


class Profile:
    """A trace of the steps that `run.profile` names, for TensorBoard and xprof."""

    def __init__(self, workdir: Path, settings: Any):
        self._steps = range(0)
        if settings.profile:
            self._steps = range(settings.profile[0], settings.profile[1] + 1)
        self._folder, self._on = str(workdir / "tensorboard"), False

    def before(self, step: int) -> None:
        """Start, if it is time to."""
        if step in self._steps and not self._on and jax.process_index() == 0:
            jax.profiler.start_trace(self._folder)
            self._on = True

    def after(self, step: int, state: TrainState) -> None:
        """Stop, if it is time to."""
        if self._on and step + 1 not in self._steps:
            jax.block_until_ready(state)
            self.end()

    def end(self) -> None:
        """Stop what has started."""
        if self._on:
            jax.profiler.stop_trace()
            self._steps, self._on = range(0), False


class Watch:
    """Notices steps without a finite gradient, which changed nothing."""

    def __init__(self, limit: int):
        self._limit = limit
        self._names: list[str] = []
        self._row = self._total = 0

    def settle(self, metrics: dict[str, Any], names: Sequence[str]) -> dict:
        """Return a step's metrics as floats.

        Raises:
            NotFinite: the limit is reached.
        """
        values = {name: float(value) for name, value in metrics.items()}
        if values.pop("finite"):
            self._row, self._names = 0, []
            return values
        self._row, self._total = self._row + 1, self._total + 1
        self._names += names
        if self._row >= self._limit:
            raise NotFinite(
                f"{self._row} steps in a row had no finite gradient and were skipped; "
                "check the data or lower optimizer.learning_rate; the samples were "
                f"{', '.join(self._names[-20:])}"
            )
        return values

    def settled(self, pending: collections.deque) -> list[dict]:
        """Return the metrics of all steps under way, when they are over."""
        return [self.settle(*pending.popleft()) for _ in range(len(pending))]

    def counts(self, loader: Loader, hosts: Hosts) -> dict[str, int]:
        """Return what was left out since the processes began, on all hosts.

        Raises:
            TooManyUnreadable: together they have more than the limit.
        """
        (unreadable,) = hosts.total(len(loader.unreadable))
        loader.check_total(unreadable)
        return {"skipped_steps": self._total, "unreadable": unreadable}


def means(window: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each number over the steps with a finite loss."""
    finite = [values for values in window if np.isfinite(values["loss"])]
    names = finite[0] if finite else {}
    return {name: float(np.mean([v[name] for v in finite])) for name in names}
