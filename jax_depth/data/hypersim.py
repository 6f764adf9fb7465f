"""Hypersim (Roberts et al. 2021, arXiv:2011.02523): rendered interiors, 461 scenes.

    [evermotion_dataset/scenes/]ai_VVV_NNN/images/
        scene_cam_XX_final_preview/frame.IIII.tonemap.jpg
        scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5    key "dataset"

`depth_meters` is the distance to the camera's centre; NaN where there is nothing. It
becomes planar depth by the direction of each pixel's ray.
"""

import csv
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, chosen, folder, listed
from jax_depth.data.sample import DatasetError, Sample, labelled_sample
from jax_depth.formats.json_file import refuse_pipe
from jax_depth.formats.optional import optional_module
from jax_depth.formats.rgb import read_rgb

SPLITS = ("all", "train", "val", "test")
_SPLIT_FILE = "metadata_images_split_scene_v1.csv"
_CAMERA_FILE = "metadata_camera_parameters.csv"
# Of the standard camera, 60 degrees wide, in half widths: u / tan(30 degrees).
_STANDARD = np.diag([np.tan(np.pi / 6), np.tan(np.pi / 6) * 768 / 1024, -1.0])


class Hypersim(Dataset):
    """Metric planar depth, metres.

    Args:
        root: the folder with the scenes, or the one above `evermotion_dataset`.
        split: "all", or one of the official split, whose file
            `metadata_images_split_scene_v1.csv` must then lie under `root`.
        cameras: "published" uses each scene's own camera from
            `metadata_camera_parameters.csv` (contrib/mikeroberts3000), which must lie
            under `root`: a third of the scenes have shifted or tilted lenses.
            "standard" uses the standard camera for every scene (focal length 886.81 at
            1024x768), as the published training of Depth Anything V2 does.

    Raises:
        DatasetError: nothing is found, or a metadata file is missing or damaged.
    """

    title = "hypersim"

    def __init__(
        self, root: Path | str, split: str = "all", cameras: str = "published"
    ):
        self.root = folder(self.title, root)
        chosen(self.title, "split", split, SPLITS)
        chosen(self.title, "cameras", cameras, ("published", "standard"))
        tail = "ai_*/images/scene_cam_*_geometry_hdf5/frame.*.depth_meters.hdf5"
        prefix = "evermotion_dataset/scenes"
        if not (self.root / prefix).is_dir():
            prefix = "."
        self._depths = listed(self.title, self.root / prefix, [tail])
        if split != "all":
            wanted = self._split(split)
            self._depths = [p for p in self._depths if _name(p) in wanted]
            if not self._depths:
                raise DatasetError(
                    f"hypersim: no frame of the {split} split is under {self.root}"
                )
        self.names = [_name(path) for path in self._depths]
        self._cameras = self._read_cameras() if cameras == "published" else None

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        refuse_pipe(path)
        with optional_module("h5py", "HDF5 files need", "data").File(path, "r") as file:
            distance = np.asarray(file["dataset"], np.float32)
        folder = path.parent.name.replace("geometry_hdf5", "final_preview")
        frame = path.name.replace("depth_meters.hdf5", "tonemap.jpg")
        rgb = read_rgb(path.parent.parent / folder / frame)
        matrix = _STANDARD if self._cameras is None else self._camera(self.names[index])
        height, width = distance.shape
        factor = planar_factor(_key(matrix), height, width)
        return labelled_sample(
            rgb,
            distance * factor,
            "metric_depth",
            "m",
            self.names[index],
            intrinsics=_intrinsics(matrix, height, width),
        )

    def _camera(self, name: str) -> Float64[np.ndarray, "3 3"]:
        scene = name.split("/")[0]
        assert self._cameras is not None
        if scene not in self._cameras:
            raise ValueError(f"{_CAMERA_FILE} has no line for {scene}")
        return self._cameras[scene]

    def _read_cameras(self) -> dict[str, np.ndarray]:
        cells = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
        rows = self._metadata(_CAMERA_FILE, ["scene_name", *cells], _OR_STANDARD)
        try:
            numbers = [[float(row[cell]) for cell in cells] for row in rows]
        except ValueError as error:
            raise DatasetError(f"hypersim: {_CAMERA_FILE}: {error}") from None
        matrices = np.reshape(numbers, (-1, 3, 3))
        return {row["scene_name"]: m for row, m in zip(rows, matrices, strict=True)}

    def _split(self, split: str) -> set[str]:
        columns = ["scene_name", "camera_name", "frame_id", "split_partition_name"]
        return {
            f"{row['scene_name']}/{row['camera_name']}/{int(row['frame_id']):04d}"
            for row in self._metadata(_SPLIT_FILE, columns, _OR_ALL)
            if row["split_partition_name"] == split
        }

    def _metadata(self, name: str, columns: list[str], remedy: str) -> list[dict]:
        places = (".", "evermotion_dataset/analysis", "contrib/mikeroberts3000")
        found = [p for p in (self.root / q / name for q in places) if p.is_file()]
        if not found:
            raise DatasetError(
                f"hypersim: {name} is not in {self.root}; copy it there from the "
                f"repository apple/ml-hypersim, {remedy}"
            )
        with open(found[0], newline="") as file:
            rows = list(csv.DictReader(file))
        missing = [c for c in columns if not rows or rows[0].get(c) is None]
        if missing:
            raise DatasetError(f"hypersim: {found[0]} has no column {missing[0]}")
        return rows


_OR_STANDARD = "or give cameras=standard to use the standard camera for every scene"
_OR_ALL = "or give split=all"


@functools.lru_cache(maxsize=16)
def planar_factor(
    matrix: tuple[float, ...], height: int, width: int
) -> Float64[np.ndarray, "h w"]:
    """Return what turns distance into planar depth at every pixel.

    Args:
        matrix: `M_cam_from_uv`, row by row: from (u, v, 1), both in [-1, 1] over the
            picture with v upwards, to the ray in camera space, which looks along -z.
        height, width: of the picture.
    """
    u = (2 * np.arange(width) + 1) / width - 1
    v = 1 - (2 * np.arange(height) + 1) / height
    uv = np.stack([*np.meshgrid(u, v), np.ones((height, width))])
    ray = np.einsum("ij,jhw->ihw", np.reshape(matrix, (3, 3)), uv)
    factor = np.abs(ray[2]) / np.sqrt((ray**2).sum(0))
    factor.setflags(write=False)  # shared by all callers
    return factor


def _key(matrix: np.ndarray) -> tuple[float, ...]:
    return tuple(map(float, matrix.ravel()))


def _intrinsics(matrix: np.ndarray, height: int, width: int) -> Intrinsics | None:
    """Return the pinhole camera of a matrix, None where the lens is tilted."""
    a = matrix / -matrix[2, 2]
    scale = max(abs(a[0, 0]), abs(a[1, 1]))
    if max(abs(a[0, 1]), abs(a[1, 0]), abs(a[2, 0]), abs(a[2, 1])) > 1e-6 * scale:
        return None
    # x = a00 u + a02 with u = (2 px + 1) / width - 1; x = 0 at the principal point.
    return Intrinsics(
        fx=width / 2 / a[0, 0],
        fy=height / 2 / a[1, 1],
        cx=(-a[0, 2] / a[0, 0] + 1) * width / 2 - 0.5,
        cy=(1 + a[1, 2] / a[1, 1]) * height / 2 - 0.5,
    )


def _name(depth: Path) -> str:
    camera = depth.parent.name.removeprefix("scene_").removesuffix("_geometry_hdf5")
    return f"{depth.parts[-4]}/{camera}/{depth.name.split('.')[1]}"
