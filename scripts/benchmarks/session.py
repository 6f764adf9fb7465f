"""One session of contenders that take turns: A B C, A B C, ..."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import workspace
from benchmarks.catalog import Contender
from benchmarks.process import Worker, WorkerError
from benchmarks.results import Row
from benchmarks.task import Absent, Task

# Seconds between turns, for the previous contender's threads to go to sleep.
_PAUSE = 0.05
# Untimed rounds: XLA:CPU's second call still takes twice as long as its third.
_WARM_UP = 1

Say = Callable[[str], None]


def run(
    task: Task, contenders: Sequence[Contender], rounds: int, say: Say
) -> list[Row]:
    """Start, check and time contenders on one task.

    The first one that gives a result is the reference for all others.

    Args:
        task: the work; its folder is filled if necessary.
        contenders: in the order of their turns.
        rounds: timed calls per contender.
        say: called with lines of progress.

    Returns:
        One row per contender, with figures or a problem.
    """
    workspace.prepare(task)
    rows = [Row(c.name, c.precision, pictures=task.batch) for c in contenders]
    workers: dict[str, Worker] = {}
    try:
        reference: np.ndarray | None = None
        for contender, row in zip(contenders, rows, strict=True):
            output = _start(contender, task, row, workers, say)
            if output is None:
                continue
            if reference is None:
                reference = output
            _check(contender, row, output, reference)
            if row.problem is not None:
                workers.pop(row.name).close()
                say(f"{row.name}: {row.problem}")
        for index in range(-_WARM_UP, rounds):
            for row in rows:
                if row.problem is None:
                    _turn(row, workers, timed=index >= 0)
            if index >= 0:
                say(f"round {index + 1} of {rounds}")
    finally:
        for worker in workers.values():
            worker.close()
    return rows


def _start(
    contender: Contender, task: Task, row: Row, workers: dict[str, Worker], say: Say
) -> np.ndarray | None:
    """Return the first output, or None with the problem in `row`."""
    start = time.perf_counter()
    worker = workers[row.name] = Worker(contender.environment)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "output.npy"
        try:
            worker.ask(
                do="load",
                module=contender.module,
                options=dict(contender.options),
                task=dataclasses.asdict(task),
            )
            reply = worker.ask(do="call", save=str(file))
            output = np.load(file)
        except (Absent, WorkerError) as error:
            row.problem = str(error)
            workers.pop(row.name).close()
            say(f"{row.name}: {row.problem}")
            return None
    row.first_call, row.peak_bytes = reply["seconds"], reply["peak_bytes"]
    row.ready = time.perf_counter() - start
    say(f"{row.name}: first result after {row.ready:.1f} s")
    return output


def _check(
    contender: Contender, row: Row, output: np.ndarray, reference: np.ndarray
) -> None:
    """Compare with the reference; set the error or the problem of `row`."""
    if output.shape != reference.shape:
        row.problem = f"wrong: its output is {output.shape}, not {reference.shape}"
        return
    if not np.isfinite(output).all():
        row.problem = "wrong: its output is not finite"
        return
    # A single number, such as a loss, is its own scale.
    scale = reference.std() if reference.size > 1 else abs(reference).max()
    row.error = float(abs(output - reference).max() / scale)
    if not row.error <= contender.bound:
        row.problem = f"wrong: error {row.error:.1e} exceeds {contender.bound:g}"


def _turn(row: Row, workers: dict[str, Worker], timed: bool) -> None:
    time.sleep(_PAUSE)
    try:
        reply = workers[row.name].ask(do="call")
    except (Absent, WorkerError) as error:
        row.problem = str(error)
        row.seconds.clear()
        row.cpu.clear()
        workers.pop(row.name).close()
        return
    if timed:
        row.seconds.append(reply["seconds"])
        row.cpu.append(reply["cpu"])
    row.peak_bytes = reply["peak_bytes"]
