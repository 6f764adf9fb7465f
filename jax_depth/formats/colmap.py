"""Photos, their cameras and points as a COLMAP text model.

Layout and conventions: https://colmap.github.io/format.html. x right, y down, z
forward; (0, 0) is the upper left corner of the first pixel, whose centre is (0.5, 0.5).
Programs that start from COLMAP (Gaussian splatting, Nerfstudio) read the folder as is.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8
from PIL import Image

from jax_depth.camera import PlacedCamera

# What a folder of this kind holds, so that an older one can be replaced.
ENTRIES = ("images", "sparse")


def write_colmap(
    directory: Path,
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    cameras: Sequence[PlacedCamera],
    points: Float32[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"],
    pixels: Int[np.ndarray, "n 2"],
    views: Int[np.ndarray, " n"] | None = None,
) -> None:
    """Write `images/NAME.png` and `sparse/0/{cameras,images,points3D}.txt`.

    Args:
        directory: an empty folder.
        photos: uint8 RGB of any sizes, written upright and lossless.
        cameras: one for each photo, named differently.
        points: in the world.
        colors: sRGB.
        pixels: column and row in its photo that each point is from.
        views: index of its photo; all are of the first when None.

    Raises:
        OSError: a file cannot be written.
    """
    model = directory / "sparse" / "0"
    model.mkdir(parents=True)
    (directory / "images").mkdir()
    views = np.zeros(len(points), int) if views is None else views
    lenses, images = [], []
    places = np.zeros(len(points), int)
    for number, (photo, camera) in enumerate(zip(photos, cameras, strict=True)):
        # A space would end the name in images.txt.
        name = "_".join(camera.name.split()) + ".png"
        Image.fromarray(photo).save(directory / "images" / name)
        height, width = camera.shape
        lens = camera.intrinsics
        corner = (lens.fx, lens.fy, lens.cx + 0.5, lens.cy + 0.5)
        lenses.append(f"{number + 1} PINHOLE {width} {height} {_words(corner)}")
        mine = np.flatnonzero(views == number)
        places[mine] = np.arange(len(mine))
        seen = np.column_stack([pixels[mine] + 0.5, mine + 1])
        pose = (*_quaternion(camera.pose.rotation), *camera.pose.translation)
        images += [
            f"{number + 1} {_words(pose)} {number + 1} {name}",
            _lines(seen, "%.1f %.1f %d", " "),
        ]
    _write(model / "cameras.txt", "# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy", lenses)
    _write(
        model / "images.txt",
        "# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then X Y POINT3D_ID of each",
        images,
    )
    ids = np.arange(1, len(points) + 1)
    rows = np.column_stack([ids, points, colors, 0 * ids, views + 1, places])
    _write(
        model / "points3D.txt",
        "# POINT3D_ID X Y Z R G B ERROR, then IMAGE_ID POINT2D_IDX of its track",
        [_lines(rows, "%d %.9g %.9g %.9g %d %d %d %d %d %d", "\n")],
    )


def _write(path: Path, head: str, lines: Sequence[str]) -> None:
    path.write_text("\n".join([head, *lines, ""]), encoding="utf-8")


def _words(numbers: Sequence[float]) -> str:
    return " ".join(f"{x + 0.0:.9g}" for x in numbers)  # -0 becomes 0


def _lines(table: np.ndarray, row: str, separator: str) -> str:
    return separator.join(row % tuple(values) for values in table.tolist())


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """Return (w, x, y, z), w >= 0: the eigenvector of Bar-Itzhack's matrix (2000)."""
    r = rotation
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
            [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], 0],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    x, y, z, w = np.linalg.eigh(k, UPLO="L")[1][:, -1]
    found = np.array([w, x, y, z])
    return -found if w < 0 else found
