"""This library's training step: `training.step.make_step`, as a run calls it."""

from collections.abc import Callable

import numpy as np

from benchmarks.contenders.own import configured
from benchmarks.task import Task

LEARNING_RATE = 1e-5


def load(
    task: Task, dtype: str = "float32", remat: bool = False
) -> Callable[[], np.ndarray]:
    """Return one step: forward, backward, clip, AdamW, moving average -> loss.

    The loss is the mean difference from given disparities, whose cost is negligible
    in every library.
    """
    import jax
    import jax.numpy as jnp

    from jax_depth import checkpoint
    from jax_depth.training.optimizer import adamw
    from jax_depth.training.step import Batch, init_state, make_step

    params, config = checkpoint.load(task.native)
    config = configured(config, dtype, remat=remat)
    target = np.load(task.target)
    batch = Batch(
        rgb=jnp.asarray(picture_bytes(np.load(task.pixels))),
        target=jnp.asarray(target),
        mask=jnp.ones(target.shape, bool),
    )
    optimizer = adamw(LEARNING_RATE)
    step = make_step(config, optimizer, mean_difference)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    state = init_state(params, optimizer)

    def call() -> np.ndarray:
        nonlocal state
        state, metrics = step(state, batch)
        jax.block_until_ready(state)
        return np.asarray(metrics["loss"])[None]

    return call


def mean_difference(raw, batch):
    """Return mean |raw - target| and no parts."""
    import jax.numpy as jnp

    return jnp.abs(raw - batch.target).mean(), {}


def picture_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels as sRGB bytes: what a training batch holds."""
    return np.clip(127.5 + 50 * pixels, 0, 255).astype(np.uint8)
