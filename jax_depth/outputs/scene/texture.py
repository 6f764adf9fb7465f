"""What a mesh wears: its photo, and beside it what was painted behind objects.

OBJ and USDZ know colours of corners hardly or not at all, so both surfaces are one mesh
with one texture: the photo, and at half the size the painted background, mirrored so
that the two meet at the same border and do not bleed into each other.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int, UInt8
from PIL import Image

from jax_depth.formats.glb import texture_jpeg
from jax_depth.outputs.scene.surface import Surface


@dataclasses.dataclass(frozen=True, eq=False)
class Worn:
    """A mesh with its texture.

    Attributes:
        points: float32 (n, 3) in the world, OpenCV's axes.
        triangles: int (m, 3), counter-clockwise as the camera sees them.
        uv: float32 (n, 2), place of each point in the texture, (0, 0) its upper left
            corner and (1, 1) its lower right one.
        texture: a JPEG file.
    """

    points: Float32[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]
    uv: Float32[np.ndarray, "n 2"]
    texture: bytes


def worn(surface: Surface, photo: UInt8[np.ndarray, "h w 3"]) -> Worn:
    """Return a surface, and what is behind it, in their texture.

    Args:
        surface: of the photo.
        photo: uint8 RGB.
    """
    height, width = surface.shape
    size = np.array([width, height])
    uv = (surface.pixels + 0.5) / size
    points, triangles = surface.world, surface.triangles
    behind, painted = surface.behind, surface.painted
    if behind is None or painted is None:
        return Worn(points, triangles, uv.astype(np.float32), texture_jpeg(photo))
    # Along the shorter side, which leaves the most room in a texture's limits.
    axis = 0 if height <= width else 1
    length = photo.shape[axis]
    half = [width, height]
    half[1 - axis] = max(1, length // 2)
    image = Image.fromarray(painted).resize((half[0], half[1]), Image.Resampling.BOX)
    both = [photo, np.flip(np.asarray(image), axis)]
    share = length / (length + half[1 - axis])
    camera = surface.camera
    x, y, z = behind.points.astype(np.float64).T
    place = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], 1)
    place = ((place + 0.5) / size).clip(0, 1)
    uv[:, 1 - axis] *= share
    place[:, 1 - axis] = 1 - (1 - share) * place[:, 1 - axis]
    return Worn(
        np.concatenate([points, behind.points]),
        np.concatenate([triangles, behind.triangles + len(points)]),
        np.concatenate([uv, place]).astype(np.float32),
        texture_jpeg(np.concatenate(both, axis)),
    )
