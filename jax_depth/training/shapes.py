"""Blocks on a floor, rendered on demand: data for the smoke recipe and the tests.

Far things are lower in contrast and higher in the picture, as outdoors, so that a
small network learns depth from them within a minute.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import Sample, labelled_sample

_HEIGHT, _WIDTH = 72, 96
_COUNTS = {"train": 4096, "heldout": 64}
_HAZE = np.array([0.70, 0.78, 0.88], np.float32)


class Shapes(Dataset):
    """Pictures of 72 x 96 pixels with inverse depth in 1/m; nothing is read.

    Args:
        split: "train" or "heldout"; no picture is in both.
        count: number of samples.
    """

    title = "shapes"

    def __init__(
        self, split: Literal["train", "heldout"] = "train", count: int | None = None
    ):
        self.root = Path("shapes")
        self._split = list(_COUNTS).index(split)
        size = _COUNTS[split] if count is None else count
        self.names = [f"{split}/{number:05d}" for number in range(size)]

    def _read(self, index: int) -> Sample:
        generator = np.random.default_rng((self._split, index))
        rgb, disparity = _draw(generator)
        name = self.names[index]
        return labelled_sample(rgb, disparity, "inverse_depth", "1/m", name)


def _draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows = (np.arange(_HEIGHT, dtype=np.float32) + 0.5)[:, None] / _HEIGHT
    horizon = np.float32(generator.uniform(0.15, 0.4))
    # Inverse depth of a floor is linear in the row; the sky's is 0.
    floor = np.maximum(rows - horizon, 0) * np.float32(generator.uniform(0.5, 1.0))
    disparity = np.broadcast_to(floor, (_HEIGHT, _WIDTH)).copy()
    color = np.empty((_HEIGHT, _WIDTH, 3), np.float32)
    color[:] = generator.uniform(0.1, 0.6, 3)
    for bottom in np.sort(generator.uniform(horizon + 0.05, 1.1, 6)):
        # The lower a block stands, the nearer and the larger it is; drawn far to near.
        near = np.float32(bottom - horizon) * floor[-1, 0] / (1 - horizon)
        width = int(_WIDTH * generator.uniform(0.15, 0.5) * (bottom - horizon + 0.1))
        height = int(_HEIGHT * generator.uniform(0.3, 1.2) * (bottom - horizon + 0.1))
        stop = min(int(bottom * _HEIGHT), _HEIGHT)
        left = int(generator.integers(-width // 2, _WIDTH - width // 2))
        box = slice(max(stop - height, 0), stop), slice(max(left, 0), left + width)
        disparity[box] = near
        color[box] = generator.uniform(0.05, 0.9, 3)
    color += generator.normal(0, 0.04, color.shape[:2])[..., None].astype(np.float32)
    clear = np.minimum(disparity / np.float32(0.25), 1)[..., None]
    picture = clear * color + (1 - clear) * _HAZE
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), disparity
