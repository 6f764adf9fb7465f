"""A coarse, sparse, noisy depth map out of a dense one: what a sensor would have seen.

Upsampling an exact small map is a different task from trusting a sensor, so few points
of it are kept and the rest is filled from them, as a phone's own software does. After
Lin et al. 2024, arXiv:2412.14015, section 3.3 ("LiDAR simulation"), whose strengths are
not all published.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32

from jax_depth.inference.prompt import filled
from jax_depth.training.setting import FROM_1, Bounds, setting

# A point is never measured at less or more than this share of its distance.
_LEAST, _MOST = 0.5, 1.5


@dataclasses.dataclass(frozen=True)
class PromptSimulation:
    """Ranges to draw from, (least, greatest); of models that take a prompt.

    Attributes:
        size: short side of the prompt in pixels; ARKit's maps have 192 x 256.
        stride: pixels of the prompt from one measured point to the next.
        noise: standard deviation of a measurement, as a share of its distance.
        lost: share of the points without a measurement.
    """

    size: int = setting(FROM_1, 192)
    stride: tuple[int, int] = setting(Bounds(1, ordered=True), (4, 10))
    noise: tuple[float, float] = setting(Bounds(ordered=True), (0.0, 0.02))
    lost: tuple[float, float] = setting(
        Bounds(0, 1, open_high=True, ordered=True), (0.0, 0.3)
    )


def simulate(
    depth: Float32[np.ndarray, "h w"],
    settings: PromptSimulation,
    generator: np.random.Generator,
) -> Float32[np.ndarray, "h2 w2"]:
    """Return a prompt, every value of it known.

    Args:
        depth: metres; NaN where unknown.
        settings: what to draw from.
        generator: the only source of chance.

    Returns:
        Metres, at `settings.size` on the short side unless `depth` is smaller; ones
        where no value is known, and from which nothing is learnt either.
    """
    rows, columns = _size(depth.shape, settings.size)
    low = thinned(depth, (rows, columns))
    known = np.isfinite(low)
    if not known.any():
        return np.ones((rows, columns), np.float32)
    stride = int(generator.integers(settings.stride[0], settings.stride[1] + 1))
    kept = _grid(rows, columns, stride, generator) & known
    lost = generator.uniform(*settings.lost)
    kept &= generator.random(low.shape) >= lost
    if not kept.any():
        kept = known
    error = generator.uniform(*settings.noise) * generator.standard_normal(low.shape)
    measured = low * np.clip(1 + error, _LEAST, _MOST)
    return filled(np.where(kept, measured, np.nan))


def thinned(
    depth: Float32[np.ndarray, "h w"], size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2"]:
    """Return the values nearest to the centres of `size` rows and columns."""
    rows, columns = map(_centres, depth.shape, size)
    return depth[rows][:, columns]


def _size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    scale = min(1.0, side / min(shape))
    rows, columns = (max(1, round(n * scale)) for n in shape)
    return rows, columns


def _centres(inputs: int, outputs: int) -> np.ndarray:
    return ((np.arange(outputs) + 0.5) * inputs / outputs).astype(int)


def _grid(rows: int, columns: int, stride: int, generator) -> np.ndarray:
    """Return one point somewhere in each cell of a grid."""
    top, left = np.mgrid[:rows:stride, :columns:stride]
    row = np.minimum(top + generator.integers(0, stride, top.shape), rows - 1)
    column = np.minimum(left + generator.integers(0, stride, left.shape), columns - 1)
    made = np.zeros((rows, columns), bool)
    made[row, column] = True
    return made
