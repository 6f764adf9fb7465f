"""The steps of `accelerator`, each in its own process.

python -m benchmarks.accelerator_steps NAME WORK OUT SECONDS TOY [EXTRA]
"""

import contextlib
import dataclasses
import functools
import gc
import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accelerator_work import Job, distance, groups, pictures, problem, rates


def main(
    name: str, work: str, out: str, seconds: str, toy: str, extra: str = ""
) -> None:
    """Run one step."""
    end = time.monotonic() + float(seconds)
    job = Job(Path(work), Path(out), end, toy == "1", extra)
    if name.startswith("torch"):
        from benchmarks import accelerator_torch

        accelerator_torch.STEPS[name](job)
    elif name == "train":
        from benchmarks import accelerator_train

        accelerator_train.train(job)
    else:
        STEPS[name](job)


def prepare(job: Job) -> None:
    """Write a model's random weights and its float32 map of the first picture."""
    import jax

    import jax_depth
    import jax_depth_convert
    from jax_depth import checkpoint

    size, transformers = job.extra.split(":")
    config = job.config(size)
    params = jax.device_get(jax_depth.init(config, jax.random.key(0)))
    checkpoint.save(job.work / size, params, config)
    (job.work / f"{size}.done").touch()
    if transformers == "1":
        folder = job.work / f"{size}-transformers"
        jax_depth_convert.write_transformers_folder(params, config, folder)
        (job.work / f"{size}-transformers.done").touch()
    forward = jax.jit(functools.partial(jax_depth.forward, config=config))
    depth = forward(params, pictures(1, job.side()))
    np.save(job.work / f"{size}-map.npy", np.asarray(depth))
    (job.work / f"{size}-map.npy.done").touch()


def ceilings(job: Job) -> None:
    """Measure matrix products and a copy, which put everything else in proportion."""
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0]
    job.emit("ceilings", "device", kind=device.device_kind, jax=jax.__version__)
    n = 256 if job.toy else 8192
    rng = np.random.default_rng(0)
    x = jax.device_put(rng.standard_normal((n, n), np.float32))
    half = x.astype(jnp.bfloat16)
    cases = {
        "bf16": (half, jnp.bfloat16, None),
        "bf16 to f32": (half, jnp.float32, None),
        "tf32": (x, jnp.float32, "tensorfloat32"),
        "tf32 x3": (x, jnp.float32, "TF32_TF32_F32_X3"),
        "f32": (x, jnp.float32, "highest"),
    }
    for row, (operand, result, precision) in cases.items():
        try:
            with jax.default_matmul_precision(precision or "default"):
                run = jax.jit(
                    functools.partial(jnp.matmul, preferred_element_type=result)
                )
                call = functools.partial(run, operand, operand)
                times = groups(call, jax.block_until_ready, job.seconds(0.7))
            job.emit("ceilings", row, **rates(times, 1, 2 * n**3))
        except Exception as error:
            job.emit("ceilings", row, problem=problem(error))
    many = jnp.zeros(((1 if job.toy else 512) << 20,), jnp.float32) + 0.5
    run = functools.partial(jax.jit(lambda x: x + 1.0), many)
    times = groups(run, jax.block_until_ready, job.seconds(0.7))
    moved = 2 * many.nbytes
    job.emit("ceilings", "copy", gb_per_second=moved / sorted(times)[3] / 1e9)


def correct(job: Job) -> None:
    """Compare with the CPU: maps of S and B, and the gradients of a miniature."""
    import jax

    _gradients(job)
    for size in ("small", "base"):
        pixels = jax.device_put(pictures(1, job.side()))
        expected = None
        for dtype, forms in (("float32", NEW), ("bfloat16", OLD), ("bfloat16", NEW)):
            row = f"{size} {dtype} {'new' if forms is NEW else 'old'}"
            try:
                run, params = _program(job, size, dtype, pixels, forms)
                depth, again = np.asarray(run(params, pixels)), run(params, pixels)
                if expected is None:
                    expected = np.load(job.wait_for(f"{size}-map.npy"))
                job.emit(
                    "correct",
                    row,
                    distance=distance(depth, expected),
                    same_twice=bool((depth == np.asarray(again)).all()),
                )
            except Exception as error:
                job.emit("correct", row, problem=problem(error))


def _gradients(job: Job) -> None:
    import jax
    import jax.numpy as jnp

    import jax_depth
    from benchmarks.accelerator_work import MINIATURE
    from jax_depth.models.depth_anything import raw_output
    from jax_depth.models.forms import using

    cpu = jax.devices("cpu")[0]
    pixels = pictures(2, 238)
    weights = np.random.default_rng(1).standard_normal((2, 238, 238), np.float32)
    with jax.default_device(cpu):
        params = jax.device_get(jax_depth.init(MINIATURE, jax.random.key(0)))
    expected = None
    for row, device, dtype, forms in (
        ("cpu", cpu, "float32", NEW),
        ("float32 new", jax.devices()[0], "float32", NEW),
        ("bfloat16 old", jax.devices()[0], "bfloat16", OLD),
        ("bfloat16 new", jax.devices()[0], "bfloat16", NEW),
    ):
        config = dataclasses.replace(MINIATURE, dtype=dtype)

        def loss(params, pixels, weights, config=config):
            return jnp.mean(raw_output(params, pixels, config) * weights)

        try:
            with using(forms), jax.default_device(device):
                arguments = jax.device_put((params, pixels, weights), device)
                gradient = jax.jit(jax.grad(loss))
                found = jax.device_get(gradient(*arguments))
                again = jax.device_get(gradient(*arguments))
            flat, same = (
                np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
                for tree in (found, again)
            )
            expected = flat if expected is None else expected
            error = np.linalg.norm(flat - expected) / np.linalg.norm(expected)
            job.emit(
                "correct",
                f"gradient {row}",
                relative=float(error),
                same_twice=bool((flat == same).all()),
            )
        except Exception as error:
            job.emit("correct", f"gradient {row}", problem=problem(error))


def ladder(job: Job) -> None:
    """L at batch 32 in bfloat16: the old forms, the new ones, and the steps between."""
    names = ("cudnn_attention", "gathered_resize", "rounded_results")
    rows = [("old", OLD, True), ("new", NEW, True)]
    # What each is worth at the end, then added one by one to the old forms.
    for name in (*names, "projected_first"):
        rows.append((f"new - {name}", dataclasses.replace(NEW, **{name: False}), False))
    forms = OLD
    for name in names:
        forms = dataclasses.replace(forms, **{name: True})
        rows.append((f"+ {name}", forms, False))
    measure(job, "ladder", "large", 32, rows)


def batches(job: Job) -> None:
    """L at batch 1 and 8, S at batch 1 and 32."""
    rows = [("new", NEW, True), ("old", OLD, False)]
    for size, batch in (("large", 8), ("large", 1), ("small", 32), ("small", 1)):
        measure(job, "batches", size, batch, rows)


def precisions(job: Job) -> None:
    """What float32 costs, and what comes close to it; 1036 pixels."""
    import jax

    measure(job, "precisions", "large", 4, [("new", NEW, True)], side=1036)
    for row, precision in (
        ("f32", None),
        ("tf32", "tensorfloat32"),
        ("tf32 x3", "TF32_TF32_F32_X3"),
    ):
        asked = jax.default_matmul_precision(precision) if precision else None
        with asked or contextlib.nullcontext():
            measure(job, "precisions", "large", 8, [(row, NEW, False)], dtype="float32")
    measure(job, "precisions", "large", 4, [("old", OLD, False)], side=1036)


def feed(job: Job) -> None:
    """From files to depth: decoding, preprocessing and enlarging included."""
    import jax
    from PIL import Image

    import jax_depth
    from jax_depth import checkpoint

    params, _ = checkpoint.load(job.wait_for("small"))
    estimator = jax_depth.Estimator(params, job.config("small", "bfloat16"))
    folder = job.work / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize((1280, 960), Image.Resampling.BICUBIC)
    paths = []
    for i in range(8 if job.toy else 200):
        paths.append(folder / f"{i}.jpg")
        photo.save(paths[-1], quality=90)
    start = time.perf_counter()
    estimator(paths[: estimator.batch_size])
    first = time.perf_counter() - start
    start = time.perf_counter()
    estimator(paths)
    wall = time.perf_counter() - start
    job.emit(
        "feed",
        "small bfloat16",
        first_batch=first,
        photos_per_second=len(paths) / wall,
        devices=jax.device_count(),
    )


def measure(
    job: Job,
    step: str,
    size: str,
    batch: int,
    rows: list[tuple[str, Any, bool]],
    *,
    side: int = 518,
    dtype: str = "bfloat16",
) -> None:
    """Time forward in several forms in this process.

    Args:
        job: the step's.
        step: its name.
        size: of the model.
        batch: pictures per call.
        rows: name, forms, and whether to profile, for each row.
        side: of a picture.
        dtype: in which products are computed.
    """
    import jax

    from jax_depth.models.flops import forward_flops

    batch, side = job.batch(batch), job.side(side)
    pixels = jax.device_put(pictures(batch, side))
    flops = forward_flops(job.config(size), side, side)
    first, longest = None, 0.0
    for row, forms, profiled in rows:
        label = f"{size} {side} {dtype} {row}"
        if job.left() < longest + 5:
            job.emit(step, label, batch=batch, problem="no time left")
            continue
        start = time.monotonic()
        try:
            run, params = _program(job, size, dtype, pixels, forms)
            compiled = time.monotonic() - start
            call = functools.partial(run, params, pixels)
            depth = np.asarray(call())
            first = depth if first is None else first
            found: dict[str, Any] = {"from_first": distance(depth, first)}
            reference = job.work / f"{size}-map.npy"
            if side == job.side() and Path(f"{reference}.done").exists():
                found["from_cpu"] = distance(depth[:1], np.load(reference))
            memory = run.memory_analysis()
            job.emit(
                step,
                label,
                **rates(
                    groups(call, jax.block_until_ready, job.seconds(2.0)), batch, flops
                ),
                compile_seconds=compiled,
                temporary_gib=memory.temp_size_in_bytes / 2**30,
                **found,
            )
            if profiled:
                if step == "ladder":
                    with gzip.open(job.out / f"{row}.hlo.gz", "wt") as file:
                        file.write(run.as_text())
                _profile(job, step, label, call, batch)
        except Exception as error:
            job.emit(step, label, batch=batch, problem=problem(error))
        finally:
            run = params = call = None
            gc.collect()
        longest = max(longest, time.monotonic() - start)


def _profile(job: Job, step: str, label: str, call: Callable, batch: int) -> None:
    from benchmarks import kernels

    try:
        found = kernels.by_class(call, job.work / f"trace-{time.monotonic_ns()}", batch)
        job.emit(step, f"{label} kernels", batch=batch, **found)
    except Exception as error:
        job.emit(step, f"{label} kernels", problem=problem(error))


def _program(job: Job, size: str, dtype: str, pixels, forms) -> tuple[Any, Any]:
    """Compile forward in some forms; return it and weights rounded once."""
    import jax

    from jax_depth import checkpoint
    from jax_depth.models.depth_anything import forward
    from jax_depth.models.forms import using
    from jax_depth.weights import rounded_kernels

    params, _ = checkpoint.load(job.wait_for(size))
    config = job.config(size, dtype)
    params = jax.device_put(rounded_kernels(params, config))
    with using(forms):
        program = jax.jit(functools.partial(forward, config=config))
        return program.lower(params, pixels).compile(), params


def _forms() -> tuple[Any, Any]:
    """Return the former forms and today's."""
    from jax_depth.models.forms import DEFAULTS, Forms

    fields = dataclasses.fields(Forms)
    return Forms(**{field.name: False for field in fields}), DEFAULTS


OLD, NEW = _forms()
STEPS = {
    step.__name__: step
    for step in (prepare, ceilings, correct, ladder, batches, precisions, feed)
}

if __name__ == "__main__":
    main(*sys.argv[1:])
