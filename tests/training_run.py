"""A very small training run, in this process or another, for the tests of the loop.

    python tests/training_run.py WORKDIR [KEY=VALUE ...]

With DIE_AT_COMMIT=N in the environment the process kills itself the moment checkpoint
N is to get its final name; with FAIL_AT=N an exception ends it at step N. With
DEVICES=N it has so many; with RANK=I and COORDINATOR=HOST:PORT it is one of two.
"""

import json
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np

from jax_depth.training import mesh as meshes
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


def one_device(fsdp: int = 1):
    """Stand in for `mesh.make_mesh` on a machine with one device."""
    kinds = (jax.sharding.AxisType.Auto,) * 2
    return jax.make_mesh(
        (1, 1), meshes.AXES, axis_types=kinds, devices=jax.devices()[:1]
    )


def assert_losses_agree(got: dict[int, str], want: dict[int, str], steps: range):
    """Compare the losses of steps since two runs had the same state.

    Sums of some 10^4 float32 terms in another order agree to 100 x 2^-24 = 6e-6. So do
    the gradients, and every step adds as much to what the weights already differ by.
    """
    for count, step in enumerate(steps, 1):
        pair = float(got[step]), float(want[step])
        rtol = 6e-6 * (1 + count)
        np.testing.assert_allclose(*pair, rtol=rtol, err_msg=f"step {step}")


def _die_at_commit(number: str) -> None:
    rename = os.rename

    def fatal(source, target, *args, **kwargs):
        if Path(target).name == number and "checkpoint-tmp" in str(source):
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target, *args, **kwargs)

    os.rename = fatal


def _fail_at(step: str) -> None:
    from jax_depth.training.run import Run

    taken = Run.step

    def fatal(self, arrays):
        if int(self.state.step) == int(step):
            raise OSError("the disk of this host is gone")
        return taken(self, arrays)

    Run.step = fatal


if __name__ == "__main__":
    if "FAIL_AT" in os.environ:
        _fail_at(os.environ["FAIL_AT"])
    if "DIE_AT_COMMIT" in os.environ:
        _die_at_commit(os.environ["DIE_AT_COMMIT"])
    jax.config.update("jax_num_cpu_devices", int(os.environ.get("DEVICES", "1")))
    if "RANK" in os.environ:
        jax.distributed.initialize(
            os.environ["COORDINATOR"], 2, int(os.environ["RANK"])
        )
    print(run(Path(sys.argv[1]), *sys.argv[2:]).steps)
