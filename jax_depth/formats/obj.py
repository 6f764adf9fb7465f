"""Wavefront OBJ with its material and texture, written by the `trimesh` package."""

import io
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float32, Int
from PIL import Image

from jax_depth.formats.optional import optional_module

# Of a folder: the mesh, its material and its texture.
ENTRIES = ("mesh.obj", "material.mtl", "photo.jpg")


def trimesh_module() -> ModuleType:
    """Return trimesh.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module("trimesh", "OBJ needs", "mesh")


def write_obj(
    folder: Path,
    points: Float32[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "m 3"],
    uv: Float32[np.ndarray, "n 2"],
    texture: bytes,
) -> None:
    """Write `mesh.obj`, `material.mtl` and `photo.jpg` into a folder that exists.

    Args:
        folder: where to.
        points: in the world, OpenCV's axes: y down, z forward; y is up in the file.
        triangles: points counter-clockwise as the camera sees them.
        uv: place of each point in the texture, (0, 0) its upper left corner.
        texture: a JPEG file.

    Raises:
        ValueError: trimesh is not installed.
        OSError: a file cannot be written.
    """
    trimesh = trimesh_module()
    image = Image.open(io.BytesIO(texture))
    material = trimesh.visual.material.SimpleMaterial(
        image=image, diffuse=[255, 255, 255, 255], ambient=[255] * 4, specular=[0] * 4
    )
    upright = uv * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)
    mesh = trimesh.Trimesh(
        points * np.array([1, -1, -1], np.float32),
        triangles,
        visual=trimesh.visual.TextureVisuals(uv=upright, material=material),
        process=False,
    )
    text, others = trimesh.exchange.obj.export_obj(
        mesh,
        include_normals=False,
        include_texture=True,
        return_texture=True,
        mtl_name=ENTRIES[1],
    )
    (folder / ENTRIES[0]).write_text(text)
    # The texture as it came: trimesh would pack it once more, by a name of its own.
    [named] = [name for name in others if name != ENTRIES[1]]
    described = others[ENTRIES[1]].decode().replace(named, ENTRIES[2])
    (folder / ENTRIES[1]).write_text(described)
    (folder / ENTRIES[2]).write_bytes(texture)
