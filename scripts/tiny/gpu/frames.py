"""Rendering in the background: raw frames in files of 256, read as they appear.

Reading a shard's JPEG and PNG takes one core longer than drawing it takes sixteen, so
frames are stored as they lie in memory, in `chunk-00000.npz`: `rgb` (n, PIXELS, 3)
uint8 and `disparity` (n, PIXELS) uint16 by rows, the rest unused, `scale` (n,) in
1/m, and `shape` (n, 2), rows and columns. A file has its name only once it is
complete.
"""

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

RENDERER = Path(__file__).parents[1] / "renderer"
CHUNK = 256
# A quarter larger per side than the frames of `generate`, to be cropped.
SIZES = {(360, 280): 0.45, (320, 320): 0.30, (280, 360): 0.25}
PIXELS = 320 * 320


def chunk_path(folder: Path, number: int) -> Path:
    """Return the file of a chunk."""
    return folder / f"chunk-{number:05d}.npz"


def stack(frames: list[tuple[np.ndarray, np.ndarray, float]], pixels: int) -> dict:
    """Return pictures, their maps and scales as the arrays of one chunk."""
    n = len(frames)
    arrays = {
        "rgb": np.zeros((n, pixels, 3), np.uint8),
        "disparity": np.zeros((n, pixels), np.uint16),
        "scale": np.array([scale for *_, scale in frames], np.float32),
        "shape": np.array([rgb.shape[:2] for rgb, *_ in frames], np.int32),
    }
    for i, (rgb, disparity, _) in enumerate(frames):
        count = disparity.size
        arrays["rgb"][i, :count] = rgb.reshape(count, 3)
        arrays["disparity"][i, :count] = disparity.ravel()
    return arrays


def work(folder: Path, pack: Path, seed: int, numbers: list[int]) -> None:
    """Render those of the numbered chunks that are missing."""
    sys.path.insert(0, str(RENDERER))
    import generate
    from assets import Pack
    from render import Renderer

    from jax_depth.data.shards import quantize

    generate.SIZES = SIZES
    renderer = Renderer(Pack(pack, "train"))
    if numbers and numbers[0] == 0:
        print("frames are drawn by", renderer.gl.info["GL_RENDERER"], flush=True)
    for number in numbers:
        path = chunk_path(folder, number)
        if path.exists():
            continue
        frames = []
        for index in range(number * CHUNK, (number + 1) * CHUNK):
            frame = generate.make_frame(renderer, seed, index)
            frames.append((frame.rgb, *quantize(frame.disparity)))
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with open(partial, "wb") as file:
            np.savez(file, **stack(frames, PIXELS))
        os.replace(partial, path)


def start(
    folder: Path, pack: Path, seed: int, chunks: int, workers: int
) -> list[BaseProcess]:
    """Start processes that render chunks 0 to `chunks - 1`; they end with this one."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    processes = []
    for first in range(min(workers, chunks)):
        numbers = list(range(first, chunks, workers))
        process = context.Process(
            target=work, args=(folder, pack, seed, numbers), daemon=True
        )
        process.start()
        processes.append(process)
    return processes
