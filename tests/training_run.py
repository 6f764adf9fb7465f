"""A very small training run, in this process or another, for the tests of the loop.

    python tests/training_run.py WORKDIR [KEY=VALUE ...]

With DIE_AT_COMMIT=N in the environment the process kills itself the moment checkpoint
N is to get its final name.
"""

import json
import os
import signal
import sys
from pathlib import Path

from jax_depth.training.loop import Outcome, TrainingData, train
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES
from jax_depth.training.shapes import Shapes

SETTINGS = (
    "data.size=28",
    "data.batch=8",
    "data.threads=2",
    "run.steps=20",
    "run.save_every=4",
    "run.evaluate_every=100",
    "run.log_every=1",
    "optimizer.warmup=4",
    "run.shard_above=256",
    # What a resumed run has to repeat does not depend on the number of terms.
    "loss.gauge=0",
)


def recipe(*changes: str):
    """Return the recipe of the tests."""
    return override(RECIPES["smoke"], [*SETTINGS, *changes])


def run(workdir: Path, *changes: str, held_out: bool = False) -> Outcome:
    """Train, or go on."""
    data = TrainingData(
        [Shapes(count=64)], None, Shapes("heldout", 4) if held_out else None
    )
    return train(recipe(*changes), data, workdir)


def losses(workdir: Path) -> dict[int, str]:
    """Return step -> loss to the last digit; of a step taken twice the later."""
    lines = map(json.loads, (workdir / "log.jsonl").read_text().splitlines())
    return {e["step"]: repr(e["loss"]) for e in lines if "loss" in e}


def _die_at_commit(number: str) -> None:
    rename = os.rename

    def fatal(source, target, *args, **kwargs):
        if Path(target).name == number and "checkpoint-tmp" in str(source):
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target, *args, **kwargs)

    os.rename = fatal


if __name__ == "__main__":
    if "DIE_AT_COMMIT" in os.environ:
        _die_at_commit(os.environ["DIE_AT_COMMIT"])
    if "RANK" in os.environ:
        import jax

        jax.config.update("jax_num_cpu_devices", 2)
        jax.distributed.initialize(
            os.environ["COORDINATOR"], 2, int(os.environ["RANK"])
        )
    print(run(Path(sys.argv[1]), *sys.argv[2:]).steps)
