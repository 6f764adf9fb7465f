"""Point cloud as binary PLY.

The format is one page: https://paulbourke.net/dataformats/ply/. Positions are float32,
colours uchar sRGB, which every program that opens PLY expects.
"""

from pathlib import Path

import numpy as np

from jax_depth.outputs.scene.surface import Surface

_VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 3)])


def write_ply(surface: Surface, path: Path) -> None:
    """Write the points: metres, x right, y up, -z forward; the camera as comments.

    Raises:
        OSError: the file cannot be written.
    """
    vertices = np.empty(len(surface.points), _VERTEX)
    vertices["position"] = surface.points
    vertices["color"] = surface.colors
    camera = surface.camera
    height, width = surface.shape
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment written by jax_depth; metres; x right, y up, camera looks along -z",
        f"comment camera of {width}x{height} pixels: fx {camera.fx:.9g} "
        f"fy {camera.fy:.9g} cx {camera.cx:.9g} cy {camera.cy:.9g}",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {color}" for color in ("red", "green", "blue")),
        "end_header",
    ]
    with open(path, "wb") as file:
        file.write("\n".join([*header, ""]).encode("ascii"))
        file.write(vertices.data)
