"""Depth Anything 3's maps at the photo's size, in metres where a focal length is known.

Upstream: ByteDance-Seed/Depth-Anything-3 README, "metric depth": metres are the
network's output times the focal length, in pixels of the network's input, over 300.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL.Image import Image as Picture

from jax_depth.camera import Intrinsics
from jax_depth.depth_map import DepthMap
from jax_depth.formats.exif import find_camera, is_stated
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
    grow = functools.partial(bounded.to_photo, place=place, size=shape)
    down, across = place.scale
    focal = config.canonical_focal
    depth = DepthMap(
        grow(np.asarray(output.depth)),
        config.kind,
        "m" if config.kind == "metric_depth" else None,
        config.name,
        config.max_depth,
        confidence=_grown(output.confidence, grow),
        sky=_grown(output.sky, grow),
        metres_per_focal=focal and (across / 2 / focal, down / 2 / focal),
    )
    if depth.metres_per_focal is None:
        return depth
    camera = _camera_of(image, shape) if camera is None else camera
    return depth if camera is None else depth.to_metric(camera=camera)


def _grown(values: Any, grow: Callable[..., np.ndarray]) -> np.ndarray | None:
    return None if values is None else grow(np.asarray(values))


def _camera_of(image: Any, shape: tuple[int, int]) -> Intrinsics | None:
    """Return the camera that a photo's own data describe; an array has none."""
    if not isinstance(image, str | os.PathLike | Picture):
        return None
    camera, source = find_camera(image, shape)
    return camera if is_stated(source) else None
