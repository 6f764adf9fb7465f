"""Checkpoints of a run with Orbax, and the model it gives.

A run's folder is also a native model directory: `config.json` and
`model.safetensors` hold the averaged weights of the best evaluation so far, or the
newest where there is none, and `jax_depth.load` takes the folder.
"""

import dataclasses
import logging
import os
import tempfile
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
from jax_depth.training.step import TrainState

METRIC = "abs_rel"


class Checkpoints:
    """The checkpoints of one run: the newest ones and the best.

    A checkpoint appears under its final name only when it is complete, so that what
    a killed process left half written is never read.

    Args:
        workdir: of the run.
        keep: newest ones to keep, besides the best.
    """

    def __init__(self, workdir: Path | str, keep: int = 2):
        policy = AnyPreservationPolicy(
            [
                LatestN(keep),
                BestN(
                    get_metric_fn=lambda metrics: metrics[METRIC],
                    reverse=True,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        self._manager = ocp.CheckpointManager(
            Path(os.path.abspath(workdir)) / "checkpoints",
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                # The policy decides alone, but metrics are not written without this.
                best_fn=lambda metrics: metrics[METRIC],
                best_mode="min",
            ),
        )
        # Not every checkpoint is judged; Orbax would warn at each that is not.
        logging.getLogger("absl").addFilter(_not_about_metrics)

    def latest(self) -> int | None:
        """Return the number of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Begin to save a state; it is complete after `wait` at the latest.

        Args:
            state: of the run.
            metrics: of an evaluation of exactly this state.
        """
        number = int(state.step)
        if number in self._manager.all_steps():
            return
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(_dump(state)))
        self._manager.save(number, args=arguments, metrics=metrics)

    def restore(self, number: int, like: TrainState) -> TrainState:
        """Return a saved state, laid out as `like` is, on whatever devices it is."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _dump(like))
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        fields = self._manager.restore(number, args=arguments)["state"]
        structure = jax.tree.structure(like.optimizer)
        fields["optimizer"] = jax.tree.unflatten(structure, fields["optimizer"])
        return TrainState(**fields)

    def best(self) -> float | None:
        """Return the best metric among the kept checkpoints."""
        values = [self._manager.metrics(number) for number in self._manager.all_steps()]
        return min((v[METRIC] for v in values if v), default=None)

    def wait(self) -> None:
        """Return when everything begun is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and end the threads that save."""
        self._manager.close()


def export(workdir: Path | str, params: Params, config: ModelConfig) -> None:
    """Write the model into a run's folder, each file whole or not at all.

    Args:
        workdir: of the run.
        params: nested, on the host.
        config: of the model; computes in float32 when loaded.
    """
    workdir = Path(workdir)
    config = dataclasses.replace(config, dtype="float32")
    with tempfile.TemporaryDirectory(dir=workdir, prefix=".model-") as folder:
        new = Path(folder) / "model"
        checkpoint.save(new, params, config)
        for name in (checkpoint.WEIGHTS, checkpoint.CONFIG):
            os.replace(new / name, workdir / name)


def on_host(tree: Any) -> Any:
    """Return a tree of global arrays as NumPy arrays; every process must call it."""
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def _not_about_metrics(record: logging.LogRecord) -> bool:
    return "tracked_metric" not in record.getMessage()


def _dump(state: TrainState) -> dict[str, Any]:
    """Return a state as a plain dict; optimiser classes are not for the disk."""
    fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    return fields | {"optimizer": jax.tree.leaves(state.optimizer)}
