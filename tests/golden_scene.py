"""The arrays that golden numbers of losses and metrics were computed on."""

import numpy as np


def golden_scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth, a wrong depth and a mask: a slope with a block on it."""
    i, j = np.mgrid[:32, :48]
    depth = 1 + 0.05 * i + 0.02 * j
    depth += 3 * ((i >= 8) & (i < 20) & (j >= 12) & (j < 30))
    wrong = depth * (1 + 0.1 * np.sin(0.7 * i + 0.3 * j))
    return depth, wrong, (5 * i + 3 * j) % 11 != 0
