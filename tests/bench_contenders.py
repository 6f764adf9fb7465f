"""Contenders of the benchmark's tests, run in worker processes: no library needed."""

import os

import numpy as np
from benchmarks.task import Absent


def load(task, result=1.0, fault=None):
    """Return ramps times `result`, or go wrong in the way `fault` names."""
    calls = 0
    if fault == "load":
        raise RuntimeError("no such kernel\nwith details")
    if fault == "absent":
        raise Absent("needs another machine")
    if fault == "module":
        import a_library_that_nobody_has  # noqa: F401  # pyright: ignore
    if fault == "noise":
        print("libraries print what they like")

    def call():
        nonlocal calls
        calls += 1
        if fault == "exit" or (fault == "late exit" and calls == 3):
            os._exit(7)
        shape = (1, 2) if fault == "shape" else (task.batch, task.height)
        ramp = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        return np.full(shape, np.nan) if fault == "nan" else result * ramp

    return call
