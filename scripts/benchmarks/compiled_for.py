"""Compile V2 for accelerators that this machine lacks: docs/compiled-for.md.

    pip install '.[aot]'
    python scripts/benchmarks compiled-for --models small --minutes 25
    pip install jax-cuda12-plugin jax-cuda12-pjrt  # of jaxlib's version, for the H100

For each model, forward pass and training step it finds the largest batch per chip that
fits a TPU v5e, a TPU v6e and an H100 at 518 x 518. Every result is kept in
docs/compiled-for.json, and a later call continues with what is missing there, so the
table can be filled by any number of calls on any number of machines. After `--minutes`
no further compilation is started.

Each compilation runs in its own process: at some batches libtpu dies of a stack
overflow, which is recorded, and a smaller batch is tried.
"""

import argparse
import dataclasses
import json
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax

from benchmarks.absent_devices import absent_mesh, compile_forward, compile_train
from benchmarks.accelerators import ACCELERATORS
from benchmarks.inspection import inspect
from jax_depth.catalog import MODELS
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "compiled-for.json", DOCS / "compiled-for.md"
SIZE = 518
LAYOUTS = {"v5e": "2x2", "v6e": "2x2", "h100": "4"}
SIZES = ("small", "base", "large")
PROGRAMS = ("forward", "train")
# The two batches per chip through which a line is drawn.
FIRST = {"forward": (2, 8), "train": (1, 3)}
# libtpu has two ways of saying so.
_TOO_LARGE = re.compile(
    r"Used ([\d.]+\w) of ([\d.]+\w)"
    r"|temporaries \(([\d.]+\w)\) exceeds available HBM \(([\d.]+\w)\)"
)
# How the next try is reduced from where the line ends: only a little where memory was
# short.
SMALLER = {"does_not_fit": 11 / 12, "compiler_died": 3 / 4}


def main(arguments: list[str]) -> None:
    """Compile what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(SIZES))
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--chips", default=",".join(LAYOUTS))
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        model, program, chip, batch = args.one
        jax.config.update("jax_platforms", "cpu")
        print(json.dumps(compile_one(model, program, chip, int(batch))))
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    deadline = time.monotonic() + 60 * args.minutes
    for model in args.models.split(","):
        for program in args.programs.split(","):
            for chip in args.chips.split(","):
                search(found, model, program, chip, deadline)
    PAGE.write_text(page(found))


def search(found: dict, model: str, program: str, chip: str, deadline: float) -> None:
    """Compile until the largest batch that fits a chip is known, or the time is up."""

    def measured(batch: int, on: str = chip) -> dict[str, Any] | None:
        key = f"{model} {program} {on} {batch}"
        if key not in found:
            if time.monotonic() > deadline:
                return None
            found[key] = in_a_process(model, program, on, str(batch))
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(key, found[key], flush=True)
        return found[key]

    # What a batch needs hardly depends on the TPU, so the line is drawn on the first.
    first = "v5e" if ACCELERATORS[chip].platform == "tpu" else chip
    points = [measured(batch, first) for batch in FIRST[program]]
    if not all(point and "peak_bytes" in point for point in points):
        return
    low, high = (point["peak_bytes"] for point in points if point)
    slope = (high - low) / (FIRST[program][1] - FIRST[program][0])
    usable = ACCELERATORS[chip].usable
    batch = FIRST[program][0] + int((usable - low) / slope)
    batch = max(batch - batch % 2, 1)
    while batch > FIRST[program][1]:
        result = measured(batch)
        if result is None or "peak_bytes" in result:
            return
        batch = int(batch * next(SMALLER[word] for word in SMALLER if word in result))


def in_a_process(*words: str) -> dict[str, Any]:
    """Return what `compile_one` gives in a new process, or how the compiler died."""
    command = [sys.executable, Path(__file__).parent, "compiled-for", "--one", *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode == -signal.SIGSEGV:
        result: dict[str, Any] = {"compiler_died": "stack overflow"}
    elif done.returncode:
        sys.exit(f"{' '.join(words)}: {done.returncode} {done.stderr[-2000:]}")
    else:
        result = json.loads(done.stdout.splitlines()[-1])
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result | {"cpu_seconds": round(seconds)}


def compile_one(model: str, program: str, chip: str, batch: int) -> dict[str, Any]:
    """Compile one program for four chips; return its facts, or what it lacks."""
    mesh = absent_mesh(f"{chip}:{LAYOUTS[chip]}")
    try:
        if program == "train":
            settings = [
                f"model.architecture=depth-anything-v2-{model}",
                "model.remat=true",
                "model.scan=true",
                f"data.size={SIZE}",
                f"data.batch={batch * mesh.size}",
            ]
            recipe = override(RECIPES["v2-teacher"], settings)
            compiled = compile_train(recipe, mesh)
        else:
            config = MODELS[f"depth-anything-v2-{model}"].config
            encoder = dataclasses.replace(config.encoder, scan=True)
            config = dataclasses.replace(config, dtype="bfloat16", encoder=encoder)
            compiled = compile_forward(config, mesh, batch * mesh.size, SIZE)
    except jax.errors.JaxRuntimeError as error:
        if match := _TOO_LARGE.search(str(error)):
            used, of = filter(None, match.groups())
            return {"does_not_fit": f"{used} of {of}"}
        raise
    facts = inspect(compiled)
    # The GPU compiler also accepts what no GPU could hold.
    if facts.peak_bytes > (usable := ACCELERATORS[chip].usable):
        gib = 2**30
        return {"does_not_fit": f"{facts.peak_bytes / gib:.1f}G of {usable / gib:.1f}G"}
    return dataclasses.asdict(facts)


def page(found: dict[str, dict]) -> str:
    """Return the page of everything compiled so far."""
    rows = []
    for model in SIZES:
        for program in PROGRAMS:
            for chip in LAYOUTS:
                rows.append(_row(found, model, program, chip))
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return _TEXT.format(table=table)


def _row(found: dict, model: str, program: str, chip: str) -> list[str]:
    def batches(word: str) -> list[int]:
        start = f"{model} {program} {chip} "
        return [
            int(k.split()[-1])
            for k in found
            if k.startswith(start) and word in found[k]
        ]

    name = [model.capitalize(), program, ACCELERATORS[chip].title]
    fits = batches("peak_bytes")
    if not fits or max(fits) <= max(FIRST[program]):
        return [*name, "not compiled yet", "", "", "", ""]
    best = found[f"{model} {program} {chip} {max(fits)}"]
    failures = {
        "does not fit": batches("does_not_fit"),
        "crashes the compiler": batches("compiler_died"),
    }
    above = ", ".join(f"{min(n)} {word}" for word, n in failures.items() if n)
    kinds = ", ".join(f"{n} {k}" for k, n in sorted(best["collectives"].items()))
    products = ", ".join(f"{n} {k}" for k, n in sorted(best["products"].items()))
    gib = f"{best['peak_bytes'] / 2**30:.2f}"
    above = above or "not tried"
    return [*name, str(max(fits)), gib, above, kinds or "none", products]


_TEXT = """# Batch sizes that fit TPUs and H100s, from the compilers alone

Programs of V2 Small, Base and Large at 518 x 518 in bfloat16, compiled for
accelerators on a machine that has none: by libtpu for TPUs, by jax-cuda12-plugin for
the H100. This shows that they compile and fit in memory, which collectives they use,
and in which precision they compute. It says nothing about speed or results on the
chips; none of these programs has been run on one. (For measurements on an H100, see
[Accelerators](accelerators.md).) This page is generated by `python scripts/benchmarks
compiled-for`, which resumes where its last call stopped.

- Every program is for four chips (a 2x2 slice, or four H100s in one host). The batch
  is divided among them and the parameters are replicated.
- The transformer blocks are scanned (`model.scan`), which cuts compilation to two
  thirds of the time. A product inside the scan is counted once.
- "train" is a training step of the recipe `v2-teacher` with the row's model: float32
  parameters, AdamW, moving average, rematerialised blocks. FSDP, which would allow
  larger batches, is off.
- A v5e has 16 GiB, of which a program may use 15.75; a v6e has 32 (31.25); an H100
  has 74.5 GiB (80 GB), of which 67.1 are counted as usable.
- "failed" is the smallest larger batch that was tried and failed; the largest that
  fits lies between the two. The search extrapolates linearly from the memory of two
  small batches to the one that should just fit, compiles that, then one a twelfth
  smaller, and so on. At many batch sizes libtpu crashes (a stack overflow while it
  fuses convolutions); a batch a quarter smaller is tried then, and the limit is the
  crash, not memory.
- Products are counted by the types of their operands. One with a float32 operand
  multiplies values that were rounded to bfloat16 and keeps the result in float32, as
  for attention's logits; "highest" means full float32 precision.
- XLA chooses GPU kernels by timing them, which is impossible without a GPU: for the
  H100 all products go to cuBLAS and cuDNN here; on a real one XLA may choose
  differently.

| V2 | program | chip | batch per chip | peak GiB | failed | collectives | products |
| --- | --- | --- | --- | --- | --- | --- | --- |
{table}
"""
