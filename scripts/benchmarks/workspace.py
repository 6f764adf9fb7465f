"""Write the same pixels, and the same weights in every layout, for one table.

    python -m benchmarks.workspace TASK.json

runs in its own process, so that the measuring process stays small.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import WorkerError, environment
from benchmarks.task import Task
from jax_depth.config import EncoderConfig, ModelConfig

SEED = 0
# By how many standard deviations the mean of the output lies above the final ReLU's
# zero.
_ALIVE = 3.0


def prepare(task: Task) -> None:
    """Write whatever `task.folder` lacks.

    Raises:
        WorkerError: it failed.
    """
    if task.native.exists() and task.pixels.exists():
        return
    text = json.dumps(dataclasses.asdict(task))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.workspace", text],
        capture_output=True,
        text=True,
        env=environment(),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise WorkerError(f"weights of {task.model} could not be prepared: {lines[-1]}")


def write(task: Task, config: ModelConfig | None = None) -> None:
    """Write weights, pixels and targets; `config` replaces the catalogue's."""
    Path(task.folder).mkdir(parents=True, exist_ok=True)
    if not task.native.exists():
        _write_weights(task, config)
    rng = np.random.default_rng(SEED)
    shape = task.batch, task.height, task.width
    np.save(task.pixels, rng.standard_normal((*shape, 3), np.float32))
    np.save(task.target, rng.random(shape, np.float32))


def _write_weights(task: Task, config: ModelConfig | None) -> None:
    import jax_depth_convert
    from jax_depth import checkpoint
    from jax_depth.catalog import MODELS
    from jax_depth.weights import read_params

    if config is None:
        config = MODELS[task.model].config
    if not isinstance(config.encoder, EncoderConfig):
        # The bundled model exists in this library only: its own weights, no other
        # layout.
        params, config = read_params(task.model)
        checkpoint.save(task.native, params, config)
        return
    # As transformers resizes the position embedding.
    encoder = dataclasses.replace(config.encoder, position_offset=0.0)
    config = dataclasses.replace(config, encoder=encoder)
    params = _living_params(config)
    jax_depth_convert.write_transformers_folder(params, config, task.transformers)
    checkpoint.save(task.native, params, config)


def _living_params(config: ModelConfig) -> dict[str, Any]:
    """Return random parameters whose output is positive nearly everywhere.

    Maps that the final ReLU cut off would be equal whatever a library computes.
    """
    import jax

    import jax_depth_convert
    from jax_depth.models.depth_anything import raw_output
    from jax_depth_convert.verify import random_file

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.pth"
        random_file(file, config, SEED)
        params, _ = jax_depth_convert.load(file, config)
    side = 10 * config.encoder.patch_size
    rng = np.random.default_rng(SEED)
    pixels = rng.standard_normal((1, side, side, 3), np.float32)
    raw = np.asarray(jax.jit(raw_output, static_argnums=2)(params, pixels, config))
    last = params["head"]["output_conv3"]
    last["bias"] = last["bias"] + np.float32(_ALIVE * raw.std() - raw.mean())
    return params


if __name__ == "__main__":
    write(Task(**json.loads(sys.argv[1])))
