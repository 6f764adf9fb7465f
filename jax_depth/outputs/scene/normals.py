"""Surface normals of a map in metres, and the picture of them."""

import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth.camera import Intrinsics
from jax_depth.depth_map import DepthMap
from jax_depth.outputs.scene.surface import unproject


def normals(depth: DepthMap, camera: Intrinsics) -> Float32[np.ndarray, "h w 3"]:
    """Return unit normals that face the camera, by central differences.

    Args:
        depth: metric map of at least 2x2 pixels, finite. A wrong scale does not change
            normals, a wrong shift of inverse depth does, so a relative map has none.
        camera: of the photo.

    Returns:
        float32 (h, w, 3): x to the right, y up, z towards the viewer.

    Raises:
        ValueError: the map is not in metres, not finite, or narrower than 2 pixels.
    """
    if depth.kind != "metric_depth":
        raise ValueError(
            f"the map is {depth.kind} of unknown scale and shift, so its normals are "
            "not determined; bring it to metres first"
        )
    if min(depth.shape) < 2 or not np.isfinite(depth.values).all():
        raise ValueError(f"{depth} must be finite and have 2x2 pixels for normals")
    points = unproject(depth.values.astype(np.float64), camera)
    down, right = np.gradient(points, axis=(0, 1))
    normal = np.cross(down, right)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    # Depth 0 makes neighbouring points coincide: seen head-on, for want of better.
    flat = np.array([0.0, 0.0, 1.0])
    return np.where(length > 0, normal / np.maximum(length, 1e-300), flat).astype(
        np.float32
    )


def normal_map(depth: DepthMap, camera: Intrinsics) -> UInt8[np.ndarray, "h w 3"]:
    """Return normals as RGB, 127.5 (n + 1) rounded: the convention of OpenGL.

    Facing the camera is (128, 128, 255), upwards is green, to the right is red.

    Raises:
        ValueError: as `normals`.
    """
    return np.rint(127.5 * (normals(depth, camera) + 1)).astype(np.uint8)
