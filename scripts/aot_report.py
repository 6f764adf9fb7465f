"""Compile S, B and L for TPUs that are not there, and write docs/compiled-for.md.

    pip install '.[aot]' && python scripts/aot_report.py --models small --minutes 25

For each model, forward pass and training step it finds the largest batch per chip that
fits 16 GiB (TPU v5e) and 32 GiB (TPU v6e) at 518 x 518. Every compilation is kept in
docs/compiled-for.json; a later call goes on with what is missing there, so any number
of calls, on any number of machines, fills the table. `--minutes` is CPU time, after
which no compilation is begun.
"""

import argparse
import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any

import jax

from jax_depth.catalog import MODELS
from jax_depth.deploy.absent_devices import absent_mesh, compile_forward, compile_train
from jax_depth.deploy.accelerators import ACCELERATORS
from jax_depth.deploy.inspection import inspect
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES

DOCS = Path(__file__).parent.parent / "docs"
RESULTS, PAGE = DOCS / "compiled-for.json", DOCS / "compiled-for.md"
SIZE, CHIPS, LAYOUT = 518, ("v5e", "v6e"), "2x2"
SIZES = ("small", "base", "large")
PROGRAMS = ("forward", "train")
# Two batches per chip through which a line is laid.
FIRST = {"forward": (2, 8), "train": (1, 3)}
# Tries on from where the line ends.
TRIES = 3


def main() -> None:
    """Compile what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(SIZES))
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--minutes", type=float, default=1e9)
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for model in args.models.split(","):
        for program in args.programs.split(","):
            for chip in CHIPS:
                search(found, model, program, chip, args.minutes)
    PAGE.write_text(page(found))


def search(found: dict, model: str, program: str, chip: str, minutes: float) -> None:
    """Compile until the largest batch that fits a chip is known, or time is up."""

    def measured(batch: int, on: str = chip) -> dict[str, Any] | None:
        key = f"{model} {program} {on} {batch}"
        if key not in found:
            if time.process_time() > 60 * minutes:
                return None
            start = time.process_time()
            found[key] = compile_one(model, program, on, batch)
            found[key]["cpu_seconds"] = round(time.process_time() - start)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(key, found[key], flush=True)
        return found[key]

    # What a batch needs hardly depends on the chip: the line is laid on the first.
    points = [measured(batch, CHIPS[0]) for batch in FIRST[program]]
    if None in points:
        return
    low, high = (point["peak_bytes"] for point in points if point)
    slope = (high - low) / (FIRST[program][1] - FIRST[program][0])
    usable = ACCELERATORS[chip].usable
    batch = FIRST[program][0] + int((usable - low) / slope)
    batch = max(batch - batch % 2, 1)
    for _ in range(TRIES):
        result = measured(batch)
        if result is None or "peak_bytes" in result:
            return
        batch = max(int(0.92 * batch), 1)


def compile_one(model: str, program: str, chip: str, batch: int) -> dict[str, Any]:
    """Compile one program for 2x2 chips; return its facts, or what it lacks."""
    mesh = absent_mesh(f"{chip}:{LAYOUT}")
    try:
        if program == "train":
            settings = [
                f"model.architecture=depth-anything-v2-{model}",
                "model.remat=true",
                f"data.size={SIZE}",
                f"data.batch={batch * mesh.size}",
            ]
            recipe = override(RECIPES["v2-teacher"], settings)
            compiled = compile_train(recipe, mesh)
        else:
            config = MODELS[f"depth-anything-v2-{model}"].config
            config = dataclasses.replace(config, dtype="bfloat16")
            compiled = compile_forward(config, mesh, batch * mesh.size, SIZE)
    except jax.errors.JaxRuntimeError as error:
        if match := re.search(r"Used ([\d.]+\w) of ([\d.]+\w)", str(error)):
            return {"does_not_fit": f"{match[1]} of {match[2]}"}
        raise
    return dataclasses.asdict(inspect(compiled))


def page(found: dict[str, dict]) -> str:
    """Return the page of everything compiled so far."""
    rows = []
    for model in SIZES:
        for program in PROGRAMS:
            for chip in CHIPS:
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

    name = [model.capitalize()[0], program, ACCELERATORS[chip].title]
    fits, fails = batches("peak_bytes"), batches("does_not_fit")
    if not fits or max(fits) <= max(FIRST[program]):
        return [*name, "not compiled yet", "", "", "", ""]
    best = found[f"{model} {program} {chip} {max(fits)}"]
    above = f"{min(fails)} does not" if fails else "no larger one tried"
    kinds = ", ".join(f"{n} {k}" for k, n in sorted(best["collectives"].items()))
    products = ", ".join(f"{n} {k}" for k, n in sorted(best["products"].items()))
    gib = f"{best['peak_bytes'] / 2**30:.2f}"
    return [*name, str(max(fits)), gib, above, kinds or "none", products]


_TEXT = """# Compiled for, not run on

Programs of V2 Small, Base and Large at 518 x 518 in bfloat16 that were compiled for
TPUs by libtpu on a machine without one. That shows that they compile, that they fit,
and what they exchange and compute in; it says nothing about speed or numbers on a
chip, on which none of them has run. Written by `scripts/aot_report.py`, which goes on
where its last call stopped.

- Slices of 2x2 chips, the batch split over all four, parameters on each.
- "train" is a step of the recipe `v2-teacher` with that model: float32 parameters,
  AdamW, moving average, rematerialised blocks, no FSDP, which would make room for more.
- A v5e has 16 GiB, of which a program may take 15.75; a v6e 32, of which 31.25.
- The batch is the largest that was compiled and fits; the search lays a line through
  the memory of two small batches and compiles where it meets the limit.
- An operand of the products in float32 belongs to a product of rounded values that is
  kept in float32, as attention's logits are.

| model | program | chip | batch per chip | peak GiB | next | exchanges | products |
| --- | --- | --- | --- | --- | --- | --- | --- |
{table}
"""


if __name__ == "__main__":
    main()
