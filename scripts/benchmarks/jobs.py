"""Whole jobs by the command line: from the start of a process to files on disk."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks import workspace
from benchmarks.catalog import KEEP_MEMORY
from benchmarks.process import ON_CPU, environment
from benchmarks.results import Row
from benchmarks.session import Say
from benchmarks.task import Task

Job = Literal["start", "folder"]

# Correlation with the first contender's depth above which both did the same job; the
# libraries differ in how they enlarge a map to the photo's size.
_CORRELATION = 0.99
# Sizes of the photos of "folder", in turn: phone, screen, camera, portrait, square.
_SIZES = ((640, 480), (1024, 768), (480, 640), (1920, 1080), (800, 800), (768, 1024))


@dataclasses.dataclass(frozen=True)
class Command:
    """A program that reads photos and writes one depth map for each.

    Attributes:
        name: of its row.
        make: (photos, output folder, task) -> the words of the command line.
        precision: what it computes in.
        cold: whether programs compiled by earlier runs are removed first.
        peer: whether it is transformers, which must know the model.
    """

    name: str
    make: Callable[[Path, Path, Task], list[str]]
    precision: str = "f32"
    cold: bool = False
    peer: bool = False


def _predict(
    dtype: str, engine: str = "xla"
) -> Callable[[Path, Path, Task], list[str]]:
    def make(photos: Path, out: Path, task: Task) -> list[str]:
        words = ["-m", "jax_depth", "predict", str(photos), "-o", str(out)]
        words += ["--model", str(task.native), "--format", "npy", "--dtype", dtype]
        words += ["--engine", engine, "--size", str(min(task.height, task.width))]
        # As transformers prepares photos; the default is the authors' way.
        return [*words, "--resample", "transformers"]

    return make


def _pipeline(dtype: str) -> Callable[[Path, Path, Task], list[str]]:
    def make(photos: Path, out: Path, task: Task) -> list[str]:
        module = "benchmarks.contenders.pipeline"
        size = str(min(task.height, task.width))
        return [
            "-m",
            module,
            str(photos),
            str(out),
            str(task.transformers),
            dtype,
            size,
        ]

    return make


def commands(job: Job) -> list[Command]:
    """Return the contenders of a job, starting with the one to compare with."""
    rows = []
    for short, dtype in (("f32", "float32"), ("bf16", "bfloat16")):
        peer = Command(
            f"transformers-pipeline-{short}", _pipeline(dtype), short, peer=True
        )
        ours = Command(f"jax-predict-{short}", _predict(dtype), short)
        rows += [peer, ours]
        if job == "start":
            cold = f"{ours.name}-cold"
            rows.append(dataclasses.replace(ours, name=cold, cold=True))
        engine = f"jax-predict-openvino-{short}"
        rows.append(Command(engine, _predict(dtype, "openvino"), short))
    return rows


def chosen(job: Job, names: Sequence[str] | None) -> list[Command]:
    """Return a job's contenders by name, all of them for None.

    Raises:
        ValueError: an unknown name.
    """
    known = {row.name: row for row in commands(job)}
    for name in names or ():
        if name not in known:
            raise ValueError(
                f"there is no contender {name!r}; known: {', '.join(known)}"
            )
    return [known[name] for name in names or known]


def run(
    task: Task,
    job: Job,
    rows: Sequence[Command],
    rounds: int,
    photos: int,
    size: tuple[int, int] | None,
    say: Say,
) -> list[Row]:
    """Time whole processes in turns; see `session.run`.

    Args:
        task: gives the model, and the short side that photos are processed at.
        job: "start" has one photo, "folder" has `photos`.
        rows: the contenders.
        rounds: processes of each.
        photos: how many photos "folder" has.
        size: (height, width) of each photo; None for a mixture.
        say: called with lines of progress.
    """
    workspace.prepare(task)
    folder = Path(task.folder)
    count = 1 if job == "start" else photos
    sizes = _SIZES if size is None else [(size[1], size[0])]
    kind = "" if size is None else f"-{size[0]}x{size[1]}"
    pictures = write_photos(folder / f"photos{kind}-{count}", count, sizes)
    few = min(count, len(sizes))
    samples = write_photos(folder / f"photos{kind}-{few}", few, sizes)
    results = [Row(row.name, row.precision, pictures=count) for row in rows]
    reference: list[np.ndarray] | None = None
    for index in range(rounds):
        for row, result in zip(rows, results, strict=True):
            if result.problem is not None:
                continue
            if row.peer and not task.transformers.exists():
                result.problem = f"transformers has no {task.model}"
                continue
            if row.peer and not _installed("transformers", "torch"):
                result.problem = "transformers or torch is not installed"
                continue
            out = folder / "out"
            _warm(row, samples, out, task)
            depths = _time(row, result, pictures, out, task)
            if depths is not None and reference is None:
                reference = depths
            if depths is not None and reference is not None:
                _check(result, depths, reference)
            say(f"{row.name}: {result.problem or f'{result.seconds[-1]:.1f} s'}")
        say(f"round {index + 1} of {rounds}")
    return results


def _time(
    row: Command, result: Row, photos: Path, out: Path, task: Task
) -> list[np.ndarray] | None:
    """Run one process; return its depth maps, or None with the problem in `result`."""
    start = time.perf_counter()
    code, peak, cpu, message = _process(row, photos, out, task)
    seconds = time.perf_counter() - start
    if code:
        result.problem = f"exit code {code}: {message}"
        result.seconds.clear()
        result.cpu.clear()
        return None
    result.seconds.append(seconds)
    result.cpu.append(cpu)
    result.peak_bytes = max(peak, result.peak_bytes or 0)
    return [np.load(file) for file in sorted(out.glob("*.npy"))]


def _warm(row: Command, samples: Path, out: Path, task: Task) -> None:
    """Provide the compiled programs that an earlier run would leave, or remove them."""
    cache = _cache(row, task)
    if row.cold:
        shutil.rmtree(cache, ignore_errors=True)
    elif not row.peer and not cache.exists():
        _process(row, samples, out, task)
    shutil.rmtree(out, ignore_errors=True)


def _cache(row: Command, task: Task) -> Path:
    return Path(task.folder) / f"cache-{row.name}"


def _process(row: Command, photos: Path, out: Path, task: Task):
    """Return exit code, peak memory, processor seconds and the last complaint."""
    cache = str(_cache(row, task))
    extra = {**ON_CPU, **KEEP_MEMORY, "JAX_DEPTH_CACHE": cache}
    complaints = Path(task.folder) / "complaints.txt"
    with complaints.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *row.make(photos, out, task)],
            env=environment(extra),
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines = complaints.read_text().strip().splitlines() or ["no message"]
    scale = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return process.returncode, usage.ru_maxrss * scale, cpu, lines[-1]


def _check(result: Row, depths: list[np.ndarray], reference: list[np.ndarray]) -> None:
    """Put the error in the row, or the problem if these are not the same maps."""
    shapes = [depth.shape for depth in depths]
    if shapes != [depth.shape for depth in reference]:
        result.problem = f"wrong: it wrote {len(depths)} maps of different sizes"
        return
    errors, correlations = [], []
    for mine, theirs in zip(depths, reference, strict=True):
        errors.append(float(abs(mine - theirs).max() / theirs.std()))
        correlations.append(np.corrcoef(mine.ravel(), theirs.ravel())[0, 1])
    result.error = max(errors)
    if not min(correlations) >= _CORRELATION:
        result.problem = f"wrong: correlation {min(correlations):.3f} with the first"


def write_photos(
    folder: Path, count: int, sizes: Sequence[tuple[int, int]] = _SIZES
) -> Path:
    """Write `count` JPEG photos from a seed, with these (width, height) in turn."""
    from PIL import Image

    if folder.exists():
        return folder
    temporary = folder.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for i in range(count):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
        # Smooth shapes under a little noise compress as photos do.
        picture = Image.fromarray(coarse).resize(sizes[i % len(sizes)], 3)
        noise = rng.normal(0, 6, (picture.height, picture.width, 3))
        values = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(values).save(temporary / f"photo_{i:03d}.jpg", quality=90)
    temporary.rename(folder)
    return folder


def _installed(*names: str) -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in names)
