"""Command line: renders a split of the synthetic RGB-D set into shards.

    python generate.py OUT --assets PACK --split train --seed 1 --frames 30000

Frame ``i`` depends on (seed, i) and the code alone. Complete shards are skipped, so
an interrupted run is resumed by the same command; shards that an older VERSION of the
code rendered come last and are replaced.
"""

import argparse
import importlib.util
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from abstract import abstract
from assets import Pack
from blender import SAMPLES, Cycles
from close_up import close_up
from facades import facade_view
from indoor import indoor
from outdoor import outdoor
from people import people
from render import Renderer
from scene import Scene

from jax_depth.data.shards import (
    FRAMES_PER_SHARD,
    RenderedFrame,
    Shard,
    shard_path,
    shard_paths,
    write_shard,
)

VERSION = 4  # raise it when the same (seed, index) gives a different picture
KINDS = {
    indoor: 0.34,
    outdoor: 0.24,
    close_up: 0.15,
    people: 0.15,
    facade_view: 0.07,
    abstract: 0.05,
}
SIZES = {(288, 224): 0.45, (256, 256): 0.30, (224, 288): 0.25}  # (width, height)
ATTEMPTS = 40
ENGINES = ("opengl", "cycles")


def draw(rng: np.random.Generator, table: dict):
    """A key of the table, by weight."""
    keys = list(table)
    return keys[int(rng.choice(len(keys), p=list(table.values())))]


def fault(rgb: np.ndarray, depth: np.ndarray) -> str | None:
    """Return why a frame is useless, or None.

    Args:
        rgb: uint8 (h, w, 3).
        depth: float32 (h, w) in metres, 0 for sky.
    """
    surface = depth > 0
    if surface.mean() < 0.2:
        return "sky"
    if (depth[surface] < 0.3).mean() > 0.35 or depth[surface].min() < 0.08:
        return "camera inside something"
    disparity = np.where(surface, 1 / np.maximum(depth, 1e-6), 0)
    low, high = np.percentile(disparity, (2, 98))
    if high - low < 0.1 * high:
        return "flat"
    grey = rgb.mean(2)
    if grey.std() < 14 or (np.abs(np.diff(grey, axis=1)) < 1.5).mean() > 0.93:
        return "featureless"
    if not 25 < grey.mean() < 235:
        return "exposure"
    return None


def make_frame(
    renderer: Renderer, seed: int, index: int, cycles: Cycles | None = None
) -> RenderedFrame:
    """Renders frame ``index``: the first attempt without a fault.

    With `cycles`, it draws the colour of the views that `renderer` finds good.
    """
    chooser = np.random.default_rng([seed, index])
    kind, (width, height) = draw(chooser, KINDS), draw(chooser, SIZES)
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, index, attempt])
        scene = Scene(renderer.pack, rng)
        kind(scene)
        rgb, depth = renderer.render(scene, width, height)
        if fault(rgb, depth) is not None:
            continue
        if cycles is not None:
            rgb = cycles.picture(renderer, scene, depth)
        if cycles is None or fault(rgb, depth) is None:
            break
    else:
        raise RuntimeError(f"frame {index}: no good view in {ATTEMPTS} attempts")
    surface = depth > 0
    disparity = np.where(surface, 1 / np.maximum(depth, 1e-6), 0).astype(np.float32)
    near, far = np.percentile(depth[surface], (1, 99))
    camera = scene.camera
    record = {
        "index": index,
        "seed": seed,
        "version": VERSION,
        "engine": "opengl" if cycles is None else "cycles",
        "kind": kind.__name__,
        "attempt": attempt,
        "focal": camera.focal * max(width, height),
        "pitch": float(camera.pitch),
        "roll": float(camera.roll),
        "near": float(near),
        "far": float(far),
    }
    return RenderedFrame(rgb, disparity, record)


def frames(
    renderer: Renderer, seed: int, first: int, count: int, cycles: Cycles | None
) -> Iterator[RenderedFrame]:
    """Frames ``first`` to ``first + count - 1``."""
    for index in range(first, first + count):
        yield make_frame(renderer, seed, index, cycles)


def due(arguments: argparse.Namespace) -> list[int]:
    """Numbers of the shards to render: missing ones, then those of older code."""
    numbers = range(-(-arguments.frames // FRAMES_PER_SHARD))
    paths = {n: shard_path(arguments.out, arguments.split, n) for n in numbers}
    missing = [n for n, path in paths.items() if not path.exists()]
    present = [n for n in numbers if n not in set(missing)]
    stale = [n for n in present if Shard(paths[n]).records[0].get("version") != VERSION]
    return missing + stale


def of_another_engine(arguments: argparse.Namespace) -> Path | None:
    """A shard of the split that another engine drew, if there is one."""
    for path in shard_paths(arguments.out, arguments.split):
        if Shard(path).records[0].get("engine", ENGINES[0]) != arguments.engine:
            return path
    return None


def work(arguments: argparse.Namespace, numbers: list[int]) -> None:
    """Renders the numbered shards."""
    if not numbers:
        return
    pack = Pack(arguments.assets, arguments.split)
    cycles = Cycles(arguments.samples) if arguments.engine == "cycles" else None
    renderer = Renderer(pack, arguments.supersample, mipmaps=cycles is None)
    for number in numbers:
        path = shard_path(arguments.out, arguments.split, number)
        first, start = number * FRAMES_PER_SHARD, time.process_time()
        count = min(FRAMES_PER_SHARD, arguments.frames - first)
        write_shard(path, frames(renderer, arguments.seed, first, count, cycles))
        cost = (time.process_time() - start) / count
        print(f"{path}: {count} frames, {cost:.3f} CPU-s each", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--assets", type=Path, required=True, help="pack of assets.py")
    parser.add_argument("--split", choices=("train", "heldout"), default="train")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--supersample", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of Cycles")
    arguments = parser.parse_args()
    if arguments.engine == "cycles" and importlib.util.find_spec("bpy") is None:
        parser.error("--engine cycles is Blender's: pip install bpy==5.0.1")
    if others := of_another_engine(arguments):
        parser.error(f"{others} is not drawn by {arguments.engine}: choose another OUT")
    if arguments.workers == 1:
        work(arguments, due(arguments))
        return
    numbers = due(arguments)
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=work, args=(arguments, numbers[first :: arguments.workers])
        )
        for first in range(arguments.workers)
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    if any(process.exitcode for process in workers):
        raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()
