"""Depth Anything 3's maps at the photo's size, in metres where a focal length is known.

Upstream: ByteDance-Seed/Depth-Anything-3 README, "metric depth": metres are the
network's output times the focal length in pixels of what it saw, over 300.
"""

import os
from typing import Any

import numpy as np
from PIL.Image import Image as Picture

from jax_depth.camera import Intrinsics
from jax_depth.config import ModelConfig
from jax_depth.depth_map import DepthMap
from jax_depth.formats.exif import find_camera
from jax_depth.inference import bounded
from jax_depth.models.output import Output


def finish_bounded(
    estimator: Any,
    output: Output,
    shape: tuple[int, int],
    camera: Any = None,
    image: Any = None,
) -> DepthMap:
    """Return one picture's map; see `Estimator.finish`."""
    config = estimator.config
    seen = np.asarray(output.depth).shape
    patch = config.encoder.patch_size
    place = bounded.window(shape, seen, estimator.size, patch, estimator.resample)
    values = bounded.to_photo(np.asarray(output.depth), place, shape)
    kind, unit = config.kind, "m" if config.kind == "metric_depth" else None
    factor = metres_factor(config, place, shape, camera, image)
    if factor is not None:
        values, kind, unit = values * np.float32(factor), "metric_depth", "m"
    maps = {}
    for name in ("confidence", "sky"):
        found = getattr(output, name)
        if found is not None:
            maps[name] = bounded.to_photo(np.asarray(found), place, shape)
    return DepthMap(values, kind, unit, config.name, config.max_depth, **maps)


def metres_factor(
    config: ModelConfig,
    place: bounded.Window,
    shape: tuple[int, int],
    camera: Any = None,
    image: Any = None,
) -> float | None:
    """Return what makes metres of a model's depth; None where nothing is known.

    Args:
        config: the model; only one with a `canonical_focal` knows metres.
        place: what the network saw of the photo.
        shape: (height, width) of the photo.
        camera: `Intrinsics` or a matrix (3, 3), in the photo's pixels.
        image: the photo; the focal length of a file's EXIF data is taken where no
            camera is given. An array has none.
    """
    if config.canonical_focal is None:
        return None
    if camera is None:
        if not isinstance(image, str | os.PathLike | Picture):
            return None
        camera, source = find_camera(image, shape)
        if source.startswith("assumed"):
            return None
    fx, fy = _focal(camera)
    down, across = place.scale
    return (fx * across + fy * down) / 2 / config.canonical_focal


def _focal(camera: Any) -> tuple[float, float]:
    if isinstance(camera, Intrinsics):
        return float(camera.fx), float(camera.fy)
    matrix = np.asarray(camera, np.float64)
    if matrix.shape != (3, 3):
        raise ValueError(
            f"the camera is an array of shape {matrix.shape}; give Intrinsics(fx, fy, "
            "cx, cy) or its matrix (3, 3), in pixels of the photo"
        )
    return float(matrix[0, 0]), float(matrix[1, 1])
