"""Point cloud as binary PLY.

The format is one page: https://paulbourke.net/dataformats/ply/. Positions are float32,
colours uchar sRGB, which every program that opens PLY expects.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth.camera import PlacedCamera

_VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 3)])


def write_ply(
    path: Path,
    points: Float32[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"],
    cameras: Sequence[PlacedCamera],
    unit: str = "metres",
) -> None:
    """Write points as x right, y up, -z forward; the cameras as comments.

    Args:
        path: the file.
        points: in the world, OpenCV's axes: y down, z forward.
        colors: sRGB.
        cameras: of the pictures the points are from.
        unit: of the points, in a word or two.

    Raises:
        OSError: the file cannot be written.
    """
    vertices = np.empty(len(points), _VERTEX)
    vertices["position"] = points * np.array([1, -1, -1], np.float32)
    vertices["color"] = colors
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment written by jax_depth; {unit}; x right, y up, camera looks along -z",
        *(_comment(camera) for camera in cameras),
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {color}" for color in ("red", "green", "blue")),
        "end_header",
    ]
    with open(path, "wb") as file:
        file.write("\n".join([*header, ""]).encode("ascii"))
        file.write(vertices.data)


def _comment(camera: PlacedCamera) -> str:
    lens, (height, width) = camera.intrinsics, camera.shape
    words = (
        f"comment camera of {width}x{height} pixels: fx {lens.fx:.9g} "
        f"fy {lens.fy:.9g} cx {lens.cx:.9g} cy {lens.cy:.9g}"
    )
    if camera.pose.is_identity:
        return words
    matrix = " ".join(f"{x:.9g}" for x in camera.pose.world_to_camera.ravel())
    return f"{words} world to camera {matrix}"
