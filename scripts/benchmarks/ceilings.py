"""The measured limits of a machine: products in f32 and bf16, memory."""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.catalog import KEEP_MEMORY
from benchmarks.process import Worker
from benchmarks.session import Say
from benchmarks.task import Absent, Task

_MODULE = "benchmarks.contenders.ceilings"


def measure(say: Say) -> dict[str, float]:
    """Return {"f32": FLOP/s, "bf16": FLOP/s, "bandwidth": bytes/s}.

    For products, the better of JAX and, where installed, torch.

    Raises:
        WorkerError: JAX's product failed.
    """
    result: dict[str, float] = {}
    for limit, library in _measurements():
        try:
            value = _measure(limit, library)
        except Absent:
            continue
        say(f"{limit}, {library}: {value / 1e9:.0f} G/s")
        result[limit] = max(result.get(limit, 0.0), value)
    return result


def _measurements() -> Iterator[tuple[str, str]]:
    for library in ("jax", "torch"):
        for limit in ("f32", "bf16"):
            yield limit, library
    yield "bandwidth", "numpy"


def _measure(limit: str, library: str) -> float:
    options = {"limit": limit, "library": library}
    worker = Worker(KEEP_MEMORY)
    try:
        with tempfile.TemporaryDirectory() as folder:
            task = dataclasses.asdict(Task(folder, "none", 0, 0))
            worker.ask(do="load", module=_MODULE, options=options, task=task)
            file = Path(folder) / "value.npy"
            worker.ask(do="call", save=str(file))
            return float(np.load(file)[0])
    finally:
        worker.close()
