"""The project's own rendered frames, as training samples."""

import bisect
import itertools
from pathlib import Path

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, folder
from jax_depth.data.sample import DatasetError, Sample, labelled_sample
from jax_depth.data.shards import Shard, shard_paths


class Rendered(Dataset):
    """Frames of `shards`: inverse depth in 1/m, exact; the sky is 0 and valid.

    Args:
        root: the folder with one subfolder per split.
        split: which, "train" or "heldout".

    Raises:
        DatasetError: there are no shards, or one is damaged.
    """

    title = "rendered"

    def __init__(self, root: Path | str, split: str = "train"):
        self.root = folder(self.title, root)
        paths = shard_paths(self.root, split)
        if not paths:
            raise DatasetError(
                f"{self.root} holds no rendered samples: looked for {split}/shard-*.zip"
            )
        try:
            self._shards = [Shard(path) for path in paths]
        except ValueError as error:
            raise DatasetError(f"rendered: {error}") from None
        self._starts = [0, *itertools.accumulate(map(len, self._shards))]
        self.names = [
            f"{split}/{shard.path.stem}/{record['name']}"
            for shard in self._shards
            for record in shard.records
        ]

    def _read(self, index: int) -> Sample:
        number = bisect.bisect_right(self._starts, index) - 1
        frame = self._shards[number][index - self._starts[number]]
        height, width = frame.disparity.shape
        focal, middle = frame.record.get("focal"), ((width - 1) / 2, (height - 1) / 2)
        return labelled_sample(
            frame.rgb,
            frame.disparity,
            "inverse_depth",
            "1/m",
            self.names[index],
            intrinsics=Intrinsics(focal, focal, *middle) if focal else None,
        )
