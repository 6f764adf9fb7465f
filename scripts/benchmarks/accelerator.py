"""One call on a machine with one accelerator: is it right, how fast, what next.

    python scripts/benchmarks accelerator --out DIR --budget 420

The steps run in order of how much they decide, each in a process of its own with a time
limit, and append what they find to DIR/results.jsonl at once: a killed call loses one
row. What else they print goes to DIR/steps.log. Weights are random; the maps that
everything is compared with are computed on the CPU of the same machine meanwhile.
`--toy` rehearses all of it with a miniature anywhere.
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
    """One process: its name, with a word for it after a colon, and its limit in s."""

    name: str
    limit: float


STEPS = (
    Step("ceilings", 45),
    Step("correct", 150),
    Step("ladder", 170),
    Step("torch", 60),
    Step("torch-compile", 120),
    # A row each: L compiles for 70 to 77 s on an H100, so S comes first.
    *(Step(f"train:{number}", 100 if number < 2 else 150) for number in range(8)),
    Step("batches", 150),
    Step("precisions", 120),
    Step("torch-train", 60),
    Step("feed", 60),
)
# Which models' weights and maps are made, and for which transformers' folder is.
PREPARED = {"small": True, "base": False, "large": True}
# Less than this is no use to any step.
_SHORTEST = 15.0


def main(arguments: list[str]) -> None:
    """Run the schedule within a budget."""
    parser = argparse.ArgumentParser(
        "benchmarks accelerator", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--budget", type=float, default=560, help="seconds in all")
    parser.add_argument("--steps", help="some of them, in this order, with commas")
    parser.add_argument("--toy", action="store_true", help="a miniature, anywhere")
    args = parser.parse_args(arguments)
    end = time.monotonic() + args.budget
    steps = {step.name: step for step in STEPS}
    given = args.steps.split(",") if args.steps else list(steps)
    # "train" is all of its rows.
    names = [n for g in given for n in steps if g in (n, n.partition(":")[0])]
    if unknown := {g for g in given if g not in steps and g != "train"}:
        parser.error(
            f"no step {', '.join(sorted(unknown))}; there are {', '.join(steps)}"
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
    # Steps share what they compile, also the choice of kernels.
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
    """Run a step until it ends, its limit or the end of the budget."""
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
    """Return what nvidia-smi says, "" where there is none."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _print(out: Path) -> None:
    """Print every row in short."""
    for text in (out / "results.jsonl").read_text().splitlines():
        row = json.loads(text)
        words = [str(row.pop("step")), str(row.pop("row", ""))]
        for key, value in row.items():
            if isinstance(value, float):
                words.append(f"{key}={value:.4g}")
            elif isinstance(value, (int, str)):
                words.append(f"{key}={str(value)[:160]}")
        print(" ".join(words))
