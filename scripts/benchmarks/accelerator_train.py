"""Training steps in several forms, for `accelerator`."""

import dataclasses
import gc
import time
from typing import Any

import jax
import numpy as np

from benchmarks.accelerator_steps import NEW, OLD
from benchmarks.accelerator_work import Job, groups, problem, rates
from jax_depth import checkpoint
from jax_depth.models.flops import forward_flops
from jax_depth.models.forms import using
from jax_depth.training.objectives import objective
from jax_depth.training.optimizer import from_settings
from jax_depth.training.recipes import RECIPES
from jax_depth.training.step import Batch, init_state, make_step


def train(job: Job) -> None:
    """S at 32 and L at 8 rematerialised, with the losses of v2-teacher.

    Only one of the rows, where the job's extra word is its number.
    """
    cotangents = dataclasses.replace(OLD, rounded_cotangents=True)
    once = dataclasses.replace(cotangents, checkpointed_once=True)
    rows: list[tuple[str, int, bool, str, Any]] = [
        ("small", 32, False, "new", NEW),
        ("small", 32, False, "old", OLD),
        ("large", 8, True, "old", OLD),
        ("large", 8, True, "new", NEW),
        ("large", 8, True, "+ rounded_cotangents", cotangents),
        ("large", 8, True, "+ checkpointed_once", once),
        (
            "large",
            8,
            True,
            "new - cudnn_attention",
            dataclasses.replace(NEW, cudnn_attention=False),
        ),
        ("large", 8, False, "new", NEW),
    ]
    if job.extra:
        rows = [rows[int(job.extra)]]
    longest = 0.0
    for size, batch, remat, name, forms in rows:
        label = f"{size}{' remat' if remat else ''} {name}"
        start = time.monotonic()
        if job.left() < longest + 5:
            job.emit("train", label, problem="no time left")
            continue
        try:
            with using(forms):
                _measure(job, size, job.batch(batch), remat, label)
        except Exception as error:
            job.emit("train", label, problem=problem(error))
        gc.collect()
        longest = max(longest, time.monotonic() - start)


def _measure(job: Job, size: str, batch: int, remat: bool, label: str) -> None:
    config, side = job.config(size, "bfloat16"), job.side()
    # Scanned, which compiles in a third of the time.
    encoder: Any = dataclasses.replace(config.encoder, scan=True, remat=remat)
    config = dataclasses.replace(config, encoder=encoder)
    recipe = RECIPES["v2-teacher"]
    optimizer = from_settings(recipe.optimizer, 1000, config)
    params, _ = checkpoint.load(job.wait_for(size))
    state = init_state(jax.device_put(params), optimizer)
    step = make_step(config, optimizer, objective(recipe.loss, config, ("labelled",)))
    rng = np.random.default_rng(0)
    shape = (batch, side, side)
    given = jax.device_put(
        Batch(
            rgb=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
            target=rng.uniform(0.1, 1.0, shape).astype(np.float32),
            mask=np.ones(shape, bool),
            pseudo=np.zeros(batch, bool),
        )
    )
    start = time.monotonic()
    program = step.lower(state, given).compile()
    compiled = time.monotonic() - start
    memory = program.memory_analysis()
    metrics: dict[str, Any] = {}

    def call():
        nonlocal state, metrics
        state, metrics = program(state, given)
        return metrics["loss"]

    call()
    first = jax.device_get(metrics)
    times = groups(call, jax.block_until_ready, job.seconds(3.0))
    flops = 3 * forward_flops(config, side, side)
    job.emit(
        "train",
        label,
        **rates(times, batch, flops),
        compile_seconds=compiled,
        temporary_gib=memory.temp_size_in_bytes / 2**30,
        first_loss=float(first["loss"]),
        first_gradient_norm=float(first["gradient_norm"]),
    )
