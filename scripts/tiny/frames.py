"""Batches for training `tiny`: rendered frames, augmented on the host by threads.

What a batch holds depends on (seed, step) and the shards on disk alone, so a run
that is resumed sees the batches it would have seen.
"""

import collections
import copy
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jax_depth.data.shards import Shard, shard_paths
from jax_depth.training.augment import Augmentation, augment
from jax_depth.training.step import Batch

RELIST_EVERY = 200  # steps, while the renderer still adds shards


class Frames:
    """The frames of a split, by number; sees shards that appear later."""

    def __init__(self, root: Path | str, split: str):
        self.root, self.split = Path(root), split
        self.shards: list[Shard] = []
        self.opened = threading.local()
        self.relist()

    def relist(self) -> None:
        """Open shards that were completed since the last call."""
        known = {shard.path for shard in self.shards}
        paths = [p for p in shard_paths(self.root, self.split) if p not in known]
        self.shards = [*self.shards, *map(Shard, paths)]
        self.starts = np.cumsum([0, *map(len, self.shards)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int):
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        # Threads must not share an open archive, and opening one takes longer than
        # decoding a frame: each thread keeps its own.
        mine = self.opened.__dict__
        if number not in mine:
            mine[number] = copy.copy(self.shards[number])
        return mine[number][index - int(self.starts[number])]


def batches(
    frames: Frames,
    batch_size: int,
    size: int,
    seed: int,
    first_step: int,
    settings: Augmentation | None = None,
    threads: int = 2,
    ahead: int = 3,
) -> Iterator[Batch]:
    """Yield the batches of steps `first_step`, `first_step` + 1, ... without end."""
    settings = settings or Augmentation()

    def one(step: int, total: int, position: int):
        generator = np.random.default_rng((seed, step, position))
        frame = frames[int(generator.integers(total))]
        shape = (size, size)
        return augment(frame.rgb, frame.disparity, shape, settings, generator)

    with ThreadPoolExecutor(threads) as pool:
        queue: collections.deque = collections.deque()
        step = first_step
        while True:
            while len(queue) < ahead:
                if step % RELIST_EVERY == 0:
                    frames.relist()
                total = len(frames)
                jobs = [pool.submit(one, step, total, i) for i in range(batch_size)]
                queue.append(jobs)
                step += 1
            rgb, target = zip(*(f.result() for f in queue.popleft()), strict=True)
            target = np.stack(target)
            yield Batch(np.stack(rgb), target, np.ones(target.shape, bool))
