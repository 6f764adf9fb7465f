"""Checkpoints of a run with Orbax, and the model it gives.

A run's folder is also a native model directory: `config.json` and
`model.safetensors` hold the averaged weights of the best evaluation so far, or the
newest where there is none, and `jax_depth.load` takes the folder.
"""

import contextlib
import dataclasses
import errno
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    AnyPreservationPolicy,
    BestN,
    LatestN,
)

from jax_depth import checkpoint
from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.training import adapters
from jax_depth.training.step import TrainState

METRIC = "abs_rel"
# Bytes of free space below which a failed save is taken for a full disk.
_LITTLE = 1 << 20


class Checkpoints:
    """The checkpoints of one run: the newest ones and the best.

    A checkpoint appears under its final name only when it is complete, so that what a
    killed process left half-written is never read.

    Args:
        workdir: of the run.
        keep: newest ones to keep, besides the best.
        metric: of an evaluation, by which the best is chosen.
        greatest: the best has the greatest metric, not the least.
    """

    def __init__(
        self,
        workdir: Path | str,
        keep: int = 2,
        metric: str = METRIC,
        greatest: bool = False,
    ):
        self._metric, self._greatest = metric, greatest
        self._need = 0
        self._folder = Path(os.path.abspath(workdir)) / "checkpoints"
        policy = AnyPreservationPolicy(
            [
                LatestN(keep),
                BestN(
                    # For an evaluation without it, as under another setting: the worst
                    # value.
                    get_metric_fn=self._judged,
                    reverse=not greatest,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                # The policy decides alone, but metrics are not written without this.
                best_fn=self._judged,
                best_mode="max" if greatest else "min",
            ),
        )
        # Not every checkpoint is judged; Orbax would warn at each that is not, and
        # print a traceback of each of its threads when a disk is full.
        logging.getLogger("absl").addFilter(_worth_saying)

    def latest(self) -> int | None:
        """Return the number of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Start saving a state; it is complete by the time `wait` returns.

        Args:
            state: of the run.
            metrics: of an evaluation of exactly this state.

        Raises:
            OSError: the disk is full; the message says how much is missing.
        """
        number = int(state.step)
        if number in self._manager.all_steps():
            return
        self._need = size_of(state)
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(_dump(state)))
        with self._full():
            self._manager.save(number, args=arguments, metrics=metrics)

    def restore(self, number: int, like: TrainState) -> TrainState:
        """Return a saved state, laid out as `like` is, on whatever devices it is."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _dump(like))
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        fields = self._manager.restore(number, args=arguments)["state"]
        structure = jax.tree.structure(like.optimizer)
        fields["optimizer"] = jax.tree.unflatten(structure, fields["optimizer"])
        return TrainState(**fields)

    def restore_newest(self, like: TrainState) -> tuple[TrainState | None, list[str]]:
        """Return the newest sound state, and a sentence on each that is not.

        A damaged one is set aside as `checkpoints/STEP.damaged`.

        Raises:
            ValueError: there are some, all damaged.
        """
        notes: list[str] = []
        numbers = sorted(self._manager.all_steps(), reverse=True)
        for number in numbers:
            state, reason = None, "another process cannot read it"
            try:
                state = jax.block_until_ready(self.restore(number, like))
            except (
                Exception
            ) as error:  # whatever lies below: zarr, zstd, JSON, the disk
                reason = _shortly(error)
                if "tree structures do not match" in str(error):
                    raise ValueError(
                        f"the checkpoint {self._folder / str(number)} belongs to "
                        "another optimizer or other parameters than this run's; use "
                        "its own, or give another --workdir"
                    ) from None
            if _everywhere(state is not None):
                return state, notes
            place = self._folder / str(number)
            notes.append(f"the checkpoint {place} is damaged ({reason})")
            if jax.process_index() == 0:
                aside = place.with_name(f"{number}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                place.rename(aside)
            _everywhere(True)
            self._manager.reload()
        if notes:
            raise ValueError(
                "; ".join(notes) + f"; none is left in {self._folder}: remove it to "
                "start afresh"
            )
        return None, notes

    def best(self) -> float | None:
        """Return the best metric among the kept checkpoints."""
        values = [self._manager.metrics(number) for number in self._manager.all_steps()]
        found = [v[self._metric] for v in values if v and self._metric in v]
        return (max if self._greatest else min)(found, default=None)

    def _judged(self, metrics: dict[str, float]) -> float:
        worst = -math.inf if self._greatest else math.inf
        return metrics.get(self._metric, worst)

    def wait(self) -> None:
        """Return when every save started is on disk."""
        with self._full():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and end the threads that save."""
        with self._full():
            self._manager.close()

    def _full(self) -> contextlib.AbstractContextManager[None]:
        return _full(self._folder, self._need)


@contextlib.contextmanager
def _full(folder: Path, need: int) -> Iterator[None]:
    """Turn the errors of a save on a full disk into a clear message."""
    try:
        yield
    except Exception as error:
        free = shutil.disk_usage(folder).free
        if "No space left" in str(error) or free < min(need, _LITTLE):
            raise OSError(errno.ENOSPC, full(need, free), str(folder)) from error
        raise


def full(need: int, free: int) -> str:
    """Say that a disk is full."""
    return (
        f"no space left: a checkpoint takes {need / 1e6:,.1f} MB, {free / 1e6:,.1f} MB "
        f"are free, {max(need - free, 0) / 1e6:,.1f} MB are missing; free them and run "
        "the same command again"
    )


def size_of(state: TrainState) -> int:
    """Return the bytes of a state as it is saved, before compression."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(_dump(state)))


def check_space(workdir: Path, state: TrainState) -> None:
    """Check that the first checkpoint and the model beside it will fit on the disk.

    Raises:
        OSError: they will not; nothing has been trained yet.
    """
    model = sum(leaf.nbytes for leaf in jax.tree.leaves((state.average, state.frozen)))
    need, free = size_of(state) + model, shutil.disk_usage(workdir).free
    if free < need:
        raise OSError(errno.ENOSPC, full(need, free), str(workdir))


def export(workdir: Path | str, params: Params, config: ModelConfig) -> None:
    """Write the model into a run's folder, each file whole or not at all.

    Args:
        workdir: of the run.
        params: nested, on the host.
        config: of the model; computes in float32 when loaded.
    """
    workdir = Path(workdir)
    config = dataclasses.replace(config, dtype="float32")
    need = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    with (
        _full(workdir, need),
        tempfile.TemporaryDirectory(dir=workdir, prefix=".model-") as folder,
    ):
        new = Path(folder) / "model"
        checkpoint.save(new, params, config)
        for name in (checkpoint.WEIGHTS, checkpoint.CONFIG):
            os.replace(new / name, workdir / name)


def gathered(state: TrainState, keep: bool = True) -> Params:
    """Return the nested averaged parameters on the host; every process must call it.

    Neither the optimiser's state nor the parameters that are averaged are fetched, and
    arrays are fetched one at a time.

    Args:
        state: of the run.
        keep: whether this process wants them; if not, the result is empty.
    """
    from jax.experimental import multihost_utils

    several = jax.process_count() > 1
    flat = {}
    for name, leaf in sorted((state.frozen | state.average).items()):
        if several:
            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        if keep:
            flat[name] = np.asarray(leaf)
    if not keep:
        return {}
    merged = {name: np.asarray(leaf) for name, leaf in adapters.merge(flat).items()}
    return checkpoint.unflatten(merged)


def _everywhere(mine: bool) -> bool:
    """Return whether it is true on every process."""
    if jax.process_count() == 1:
        return mine
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.asarray(mine))))


def _shortly(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else f"{text[:200]}…"


def _worth_saying(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    # What a thread of a save raises is raised again where the save is waited for.
    return "tracked_metric" not in text and "_SignalingThread.run()" not in text


def _dump(state: TrainState) -> dict[str, Any]:
    """Return a state as a plain dict; optimiser classes are not for the disk."""
    fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    return fields | {"optimizer": jax.tree.leaves(state.optimizer)}
