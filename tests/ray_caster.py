"""A box before a wall on a floor, seen by a pinhole: depth from ray casting alone."""

import numpy as np

HEIGHT, WIDTH = 180, 240
FOCAL = 200.0
# Metres; x right, y up, the camera at the origin looks along -z.
BOX_CENTRE = np.array([0.3, -0.3, -3.0])
BOX_SIZE = np.array([1.0, 0.8, 0.6])
TURN = np.radians(25)  # about y
FLOOR, WALL = -1.0, -6.0
_COS, _SIN = np.cos(TURN), np.sin(TURN)
# Columns are the box's own axes.
BOX_AXES = np.array([[_COS, 0, _SIN], [0, 1, 0], [-_SIN, 0, _COS]])


def cast() -> tuple[np.ndarray, np.ndarray]:
    """Return depth along the axis (h, w), and what is seen: 0 box, 1 floor, 2 wall."""
    x = (np.arange(WIDTH) - (WIDTH - 1) / 2) / FOCAL
    y = -(np.arange(HEIGHT) - (HEIGHT - 1) / 2) / FOCAL
    rays = np.stack(np.broadcast_arrays(x, y[:, None], -1.0), axis=-1)
    with np.errstate(divide="ignore"):
        # Along these rays, whose z is -1, the parameter is the depth.
        floor = np.where(rays[..., 1] < 0, FLOOR / rays[..., 1], np.inf)
    wall = np.full((HEIGHT, WIDTH), -WALL)
    distances = np.stack([_box(rays), floor, wall])
    return distances.min(axis=0), distances.argmin(axis=0)


def distance_to_surfaces(points: np.ndarray) -> np.ndarray:
    """Return how far points (n, 3) are from the nearest of the three."""
    local = np.abs((points - BOX_CENTRE) @ BOX_AXES) - BOX_SIZE / 2
    outside = np.linalg.norm(np.maximum(local, 0), axis=1)
    box = outside + np.abs(np.minimum(local.max(axis=1), 0))
    others = np.abs(points[:, 1] - FLOOR), np.abs(points[:, 2] - WALL)
    return np.minimum.reduce([box, *others])


def _box(rays: np.ndarray) -> np.ndarray:
    """Return the parameter at which rays from the origin enter the box, or infinity."""
    direction, origin = rays @ BOX_AXES, -BOX_CENTRE @ BOX_AXES
    a, b = (-BOX_SIZE / 2 - origin) / direction, (BOX_SIZE / 2 - origin) / direction
    enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)
