"""Test and time everything on a machine with one accelerator, in a single call.

    python scripts/benchmarks accelerator --out DIR --budget 420

The steps run in order of importance, each in its own process with a time limit, and
append their findings to DIR/results.jsonl at once, so a killed call loses one row.
Their other output goes to DIR/steps.log. Weights are random; the reference maps are
computed on the same machine's CPU in the meantime. `--toy` rehearses all of it with a
miniature model on any machine.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.accelerator_work import emit
from benchmarks.machine import describe, versions

SCRIPTS = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Step:
    """One process: its name, its argument after a colon, and its limit in seconds."""

    name: str
    limit: float


STEPS = (
    Step("ceilings", 45),
    Step("correct", 150),
    Step("ladder", 170),
    Step("torch", 60),
    Step("torch-compile", 120),
    # One row each: L takes 70 to 77 s to compile on an H100, so S comes first.
    *(Step(f"train:{number}", 100 if number < 2 else 150) for number in range(8)),
    Step("batches", 150),
    Step("precisions", 120),
    Step("torch-train", 60),
    Step("feed", 60),
)
# The models whose weights and maps are made, and those with a transformers folder.
PREPARED = {"small": True, "base": False, "large": True}
# No step can do anything useful in less.
_SHORTEST = 15.0


def main(arguments: list[str]) -> None:
    """Run the steps within a budget of time."""
    parser = argparse.ArgumentParser(
        "benchmarks accelerator", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the results"
    )
    parser.add_argument("--budget", type=float, default=560, help="seconds in all")
    parser.add_argument(
        "--steps", help="steps to run, in this order, separated by commas"
    )
    parser.add_argument(
        "--toy",
        action="store_true",
        help="a rehearsal with a miniature model, on any machine",
    )
    args = parser.parse_args(arguments)
    end = time.monotonic() + args.budget
    steps = {step.name: step for step in STEPS}
    given = args.steps.split(",") if args.steps else list(steps)
    # "train" stands for all of its rows.
    names = [n for g in given for n in steps if g in (n, n.partition(":")[0])]
    if unknown := {g for g in given if g not in steps and g != "train"}:
        parser.error(
            f"unknown steps: {', '.join(sorted(unknown))}; known: {', '.join(steps)}"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        emit(args.out, step="machine", **describe(), versions=versions(), card=_card())
        preparing = [
            _start("prepare", work, args, end, f"{size}:{int(transformers)}")
            for size, transformers in PREPARED.items()
        ]
        try:
            for name in names:
                _run(steps[name], work, args, end)
        finally:
            for process in preparing:
                process.kill()
                process.wait()
    _print(args.out)


def _start(
    name: str, work: Path, args, end: float, extra: str = ""
) -> subprocess.Popen:
    seconds = str(end - time.monotonic())
    command = [sys.executable, "-m", "benchmarks.accelerator_steps", name, str(work)]
    command += [str(args.out), seconds, str(int(args.toy)), extra]
    env = dict(os.environ)
    paths = [str(SCRIPTS), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # Steps share what they compile, including the choice of kernels.
    env["JAX_COMPILATION_CACHE_DIR"] = str(work / "compiled")
    env["HF_HUB_OFFLINE"] = "1"
    if name == "prepare" or args.toy:
        env["JAX_PLATFORMS"] = "cpu"
    log = (args.out / "steps.log").open("a")
    # A session of its own: what it starts, such as compiling workers, ends with it.
    return subprocess.Popen(
        command, stdout=log, stderr=log, env=env, start_new_session=True
    )


def _run(step: Step, work: Path, args, end: float) -> None:
    """Run a step until it ends, or its limit or the budget is used up."""
    start = time.monotonic()
    limit = min(step.limit, end - start)
    if limit < _SHORTEST:
        emit(args.out, step=step.name, problem="no time left")
        return
    name, _, extra = step.name.partition(":")
    process = _start(name, work, args, start + limit, extra)
    try:
        code = process.wait(limit)
        problem = f"exit code {code}" if code else None
    except subprocess.TimeoutExpired:
        problem = f"stopped after {limit:.0f} s"
    finally:
        _end(process)
    found = {"problem": problem} if problem else {}
    emit(args.out, step=step.name, row="end", wall=time.monotonic() - start, **found)


def _end(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait()


def _card() -> str:
    """Return what nvidia-smi says, or "" where it is not installed."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _print(out: Path) -> None:
    """Print a short form of every row."""
    for text in (out / "results.jsonl").read_text().splitlines():
        row = json.loads(text)
        words = [str(row.pop("step")), str(row.pop("row", ""))]
        for key, value in row.items():
            if isinstance(value, float):
                words.append(f"{key}={value:.4g}")
            elif isinstance(value, (int, str)):
                words.append(f"{key}={str(value)[:160]}")
        print(" ".join(words))
