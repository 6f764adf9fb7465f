"""KITTI depth (Geiger et al. 2013; Uhrig et al. 2017, arXiv:1708.06500): lidar.

    [raw/]DATE/DRIVE/image_0C/data/IIIIIIIIII.png                   C is 2 or 3
    [data_depth_annotated/](train|val)/DRIVE/proj_depth/groundtruth/image_0C/I….png

DRIVE is `2011_09_26_drive_0001_sync`. Depth is 16 bits, 256 to the metre, 0 where the
lidar saw nothing.
"""

import functools
import re
from pathlib import Path

import numpy as np

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, folder, listed
from jax_depth.data.sample import DatasetError, Sample, labelled_sample
from jax_depth.formats.json_file import refuse_pipe
from jax_depth.formats.png16 import read_uint16
from jax_depth.formats.rgb import read_rgb

_STEP = np.float32(1 / 256)
_DRIVE = r"(\d{4}_\d\d_\d\d)(_drive_\d{4}_sync)"
_FRAME = re.compile(_DRIVE + r"/.*?image_0([23])/.*?(\d{10})")


class Kitti(Dataset):
    """Metric depth, metres; sparse.

    Args:
        root: a folder above both the raw recordings and the annotated depth maps.
        files: a list of the frames to use, one a line, such as the Eigen split: paths
            of the picture, of the depth map (or `None`) and whatever else, of which
            drive, camera and number count. Lines whose depth is `None` are left out:
            652 of the 697 of Eigen's test set remain. All frames when None.
        camera: "2", "3" or "all"; without a list only.

    Raises:
        DatasetError: nothing is found, or a listed frame is not.
    """

    title = "kitti"

    def __init__(
        self, root: Path | str, files: Path | str | None = None, camera: str = "2"
    ):
        self.root = folder(self.title, root)
        pick = "[23]" if camera == "all" or files else camera
        tail = f"*_sync/proj_depth/groundtruth/image_0{pick}/*.png"
        above = ("", "*/", "*/*/")
        places = [f"{a}{part}/" for a in above for part in ("train", "val")]
        found = listed(self.title, self.root, [place + tail for place in places])
        depths = {key: path for path in found if (key := _key(path.as_posix()))}
        self._raw = _raw_folder(self.root, next(iter(depths)))
        wanted = sorted(depths) if files is None else _listed_keys(Path(files))
        lost = [key for key in wanted if key not in depths]
        if lost:
            raise DatasetError(
                f"kitti: {len(lost)} of the {len(wanted)} frames of {files} have no "
                f"depth map under {self.root}, the first: {_name(lost[0])}"
            )
        self._frames = [(key, depths[key]) for key in wanted]
        self.names = [_name(key) for key in wanted]

    def _read(self, index: int) -> Sample:
        (date, drive, camera, number), path = self._frames[index]
        folder = self._raw / date / f"{date}{drive}" / f"image_0{camera}" / "data"
        picture = folder / f"{number}.png"
        if not picture.exists() and picture.with_suffix(".jpg").exists():
            picture = picture.with_suffix(".jpg")
        calibration = self._raw / date / "calib_cam_to_cam.txt"
        return labelled_sample(
            read_rgb(picture),
            read_uint16(path) * _STEP,
            "metric_depth",
            "m",
            self.names[index],
            intrinsics=_cameras(calibration).get(camera),
        )


Key = tuple[str, str, str, str]  # date, rest of the drive, camera, number


def _key(path: str) -> Key | None:
    match = _FRAME.search(path)
    return (match[1], match[2], match[3], match[4]) if match else None


def _name(key: Key) -> str:
    date, drive, camera, number = key
    return f"{date}{drive}/image_0{camera}/{number}"


def _listed_keys(path: Path) -> list[Key]:
    """Return the frames of a list that have depth, in its order."""
    try:
        refuse_pipe(path)
        text = path.read_text()
    except (OSError, ValueError) as error:  # UnicodeDecodeError among them
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"kitti: the list {path}: {reason}") from None
    lines = [line.split() for line in text.splitlines() if line.strip()]
    keys = []
    for number, words in enumerate(lines, 1):
        if len(words) > 1 and words[1] == "None":
            continue
        key = _key(words[0])
        if key is None:
            raise DatasetError(
                f"kitti: line {number} of {path} names no frame of a drive: {words[0]}"
            )
        keys.append(key)
    if not keys:
        raise DatasetError(f"kitti: the list {path} names no frame with depth")
    return keys


def _raw_folder(root: Path, key: Key) -> Path:
    """Return the folder of the dates, which may be one or two below the root."""
    date, drive, _, _ = key
    for above in ("", "*/", "*/*/"):
        for found in sorted(root.glob(f"{above}{date}/{date}{drive}")):
            return found.parent.parent
    raise DatasetError(
        f"kitti: the pictures of {date}{drive} are not under {root}: looked for "
        f"{date}/{date}{drive}/image_02/data"
    )


@functools.lru_cache(maxsize=16)
def _cameras(path: Path) -> dict[str, Intrinsics]:
    """Return the rectified colour cameras of a day; none without its calibration."""
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text().splitlines():
        match = re.match(r"P_rect_0([23]):(.*)", line)
        if match:
            p = [float(word) for word in match[2].split()]
            found[match[1]] = Intrinsics(fx=p[0], fy=p[5], cx=p[2], cy=p[6])
    return found
