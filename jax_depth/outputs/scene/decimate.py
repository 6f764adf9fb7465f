"""A surface of fewer triangles, by the `fast-simplification` package.

Quadric edge collapse (M. Garland and P. Heckbert, Surface Simplification Using Quadric
Error Metrics, 1997) spends triangles where a surface bends and none where it is flat.
"""

import dataclasses
from types import ModuleType

import numpy as np

from jax_depth.formats.glb import Coloured
from jax_depth.formats.optional import optional_module
from jax_depth.outputs.scene.surface import Surface

# Of the triangles, those of what is behind objects, which is seen at the margins only.
_BEHIND = 0.2


def simplification_module() -> ModuleType:
    """Return fast_simplification.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module(
        "fast_simplification",
        "a stated number of triangles needs",
        "mesh",
        "fast-simplification",
    )


def decimated(surface: Surface, triangles: int) -> Surface:
    """Return a surface of at most so many triangles.

    Its points lie between those of the photo's pixels, so `pixels` are float32. What is
    behind objects gets a fifth of the triangles, as far as it needs them.

    Raises:
        ValueError: the package is not installed, or nothing is left of the surface.
    """
    behind, most = surface.behind, triangles
    if behind is not None:
        spared = min(len(behind.triangles), int(_BEHIND * triangles))
        behind, most = _fewer(behind, spared), triangles - spared
    front = Coloured(surface.world, surface.colors, surface.triangles)
    front = _fewer(front, most)
    if front is None:
        raise ValueError(f"nothing is left of the surface with {triangles} triangles")
    x, y, z = front.points.astype(np.float64).T
    camera = surface.camera
    pixels = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], 1)
    return dataclasses.replace(
        surface,
        points=front.points * np.array([1, -1, -1], np.float32),
        colors=front.colors,
        pixels=pixels.astype(np.float32),
        triangles=front.triangles,
        behind=behind,
    )


def _fewer(surface: Coloured, triangles: int) -> Coloured | None:
    """Return a surface of at most so many triangles; None without any."""
    if len(surface.triangles) <= triangles:
        return surface
    # Late: only meshes need it.
    from scipy.spatial import KDTree

    simplify = simplification_module().simplify
    x, y, z = surface.points.astype(np.float64).T
    nearest = z.min()
    # As the camera sees it: planes stay planes, and far things count as they look.
    seen = np.stack([x / z, y / z, nearest / z], axis=1)
    faces = surface.triangles.astype(np.int32)
    for border in (True, False):  # outlines as they are, if that is few enough
        points, left = simplify(
            seen, faces, target_count=triangles, preserve_border=border
        )
        if len(left) <= triangles:
            break
    used, left = np.unique(left[:triangles], return_inverse=True)
    if not used.size:
        return None
    # Not beyond what was seen, where best fits of corners may lie.
    points = points[used].clip(seen.min(0), seen.max(0))
    colors = surface.colors[KDTree(seen).query(points)[1]]
    z = nearest / points[:, 2]
    world = np.stack([points[:, 0] * z, points[:, 1] * z, z], axis=1)
    return Coloured(
        world.astype(np.float32), colors, left.reshape(-1, 3).astype(np.int32)
    )
