"""The sky of a scene as a panorama, for renderers that cannot run `light.frag`."""

import numpy as np
from scene import Light


def noise(points: np.ndarray) -> np.ndarray:
    """Smooth random values 0 to 1 at points (..., 2), as in the shader."""

    def corner(dx: int, dy: int) -> np.ndarray:
        x, y = cell[..., 0] + dx, cell[..., 1] + dy
        q = np.stack([x, y, x], -1) * 0.1031 % 1
        q = q + (q * (q[..., [1, 2, 0]] + 33.33)).sum(-1, keepdims=True)
        return (q[..., 0] + q[..., 1]) * q[..., 2] % 1

    cell = np.floor(points)
    f = points - cell
    f = f * f * (3 - 2 * f)
    low = corner(0, 0) * (1 - f[..., 0]) + corner(1, 0) * f[..., 0]
    high = corner(0, 1) * (1 - f[..., 0]) + corner(1, 1) * f[..., 0]
    return low * (1 - f[..., 1]) + high * f[..., 1]


def step(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """A smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def sky(light: Light, rays: np.ndarray) -> np.ndarray:
    """Return the radiance (..., 3) of the sky along unit rays (..., 3)."""
    up = np.maximum(rays[..., 2:], 0)
    colour = light.horizon + (light.zenith - light.horizon) * (1 - (1 - up) ** 3)
    cover, scale, brightness, seed = light.clouds
    points = rays[..., :2] / (up + 0.12) * scale + seed
    cloud, weight = np.zeros(rays.shape[:-1]), 0.5
    for _ in range(5):
        cloud += weight * noise(points)
        points, weight = points * 2.03 + 17.7, weight / 2
    over = step(1 - cover, 1 - cover + light.cloud_edge, cloud + 0.15)[..., None]
    shade = 1 - 0.6 * step(0.45, 0.85, cloud)[..., None]
    share = over * step(0, 0.12, up)
    colour = colour + (brightness * shade - colour) * share
    if not light.key_is_lamp:
        towards = light.key / np.linalg.norm(light.key)
        s = np.maximum(rays @ towards, 0)[..., None]
        glow = 0.12 * s**24 + 0.4 * s**300
        colour = colour + light.key_colour * glow * (1 - 0.7 * over)
    below = 1 - step(-0.15, 0, rays[..., 2:])
    return colour + (light.horizon * 0.7 - colour) * below


def panorama(light: Light, height: int) -> np.ndarray:
    """Return the sky, float32 (height, 2 height, 3), lowest row first.

    The middle column looks along +x, the one a quarter to its left along +y.
    """
    turn = (0.5 - (np.arange(2 * height) + 0.5) / (2 * height)) * 2 * np.pi
    tilt = (
        (np.arange(height // 2 - height // 10, height) + 0.5) / height - 0.5
    ) * np.pi
    rays = np.empty((len(tilt), len(turn), 3))
    rays[..., 0] = np.cos(tilt)[:, None] * np.cos(turn)
    rays[..., 1] = np.cos(tilt)[:, None] * np.sin(turn)
    rays[..., 2] = np.sin(tilt)[:, None]
    upper = sky(light, rays)
    picture = np.empty((height, 2 * height, 3), np.float32)
    picture[:] = light.horizon * 0.7  # below -9 degrees there is nothing else
    picture[height - len(tilt) :] = upper
    return picture
