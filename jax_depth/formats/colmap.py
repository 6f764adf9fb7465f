"""A photo, its camera and its points as a COLMAP text model.

Layout and conventions: https://colmap.github.io/format.html. x right, y down, z
forward; (0, 0) is the upper left corner of the first pixel, whose centre is (0.5, 0.5).
Programs that start from COLMAP (Gaussian splatting, Nerfstudio) read the folder as is.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth.outputs.scene.surface import Surface

# What a folder of this kind holds, so that an older one can be replaced.
ENTRIES = ("images", "sparse")


def write_colmap(
    surface: Surface, directory: Path, photo: UInt8[np.ndarray, "h w 3"], name: str
) -> None:
    """Write `images/NAME.png` and `sparse/0/{cameras,images,points3D}.txt`.

    Args:
        surface: of the photo; the camera's pose is the identity.
        directory: an empty folder.
        photo: uint8 RGB, written upright and lossless.
        name: of the picture, without suffix.

    Raises:
        OSError: a file cannot be written.
    """
    model = directory / "sparse" / "0"
    model.mkdir(parents=True)
    (directory / "images").mkdir()
    # A space would end the name in images.txt.
    name = "_".join(name.split()) + ".png"
    Image.fromarray(photo).save(directory / "images" / name)
    height, width = surface.shape
    camera = surface.camera
    corner = (camera.cx + 0.5, camera.cy + 0.5)
    numbers = (camera.fx, camera.fy, *corner)
    (model / "cameras.txt").write_text(
        "# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy\n"
        f"1 PINHOLE {width} {height} {' '.join(f'{x:.9g}' for x in numbers)}\n"
    )
    ids = np.arange(1, len(surface.points) + 1)
    seen = np.column_stack([surface.pixels + 0.5, ids])
    observations = _lines(seen, "%.1f %.1f %d", " ")
    (model / "images.txt").write_text(
        "# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then X Y POINT3D_ID of each\n"
        f"1 1 0 0 0 0 0 0 1 {name}\n{observations}\n",
        encoding="utf-8",
    )
    points = surface.points * np.array([1, -1, -1], np.float32)
    zeros, ones = np.zeros_like(ids), np.ones_like(ids)
    rows = np.column_stack([ids, points, surface.colors, zeros, ones, ids - 1])
    lines = _lines(rows, "%d %.9g %.9g %.9g %d %d %d %d %d %d", "\n")
    (model / "points3D.txt").write_text(
        "# POINT3D_ID X Y Z R G B ERROR, then IMAGE_ID POINT2D_IDX of its track\n"
        f"{lines}\n"
    )


def _lines(table: np.ndarray, row: str, separator: str) -> str:
    return separator.join(row % tuple(values) for values in table.tolist())
