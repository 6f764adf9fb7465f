"""Virtual KITTI 2 (Cabon et al. 2020, arXiv:2001.10773): rendered streets.

SceneXX/VARIATION/frames/rgb/Camera_C/rgb_IIIII.jpg
SceneXX/VARIATION/frames/depth/Camera_C/depth_IIIII.png     16 bits, centimetres
SceneXX/VARIATION/intrinsic.txt          frame cameraID K00 K11 K02 K12
"""

import functools
from pathlib import Path

import numpy as np

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, chosen, folder, listed
from jax_depth.data.sample import Sample, labelled_sample
from jax_depth.formats.png16 import read_uint16
from jax_depth.formats.rgb import read_rgb

_CENTIMETRE = np.float32(0.01)
# Sky, 655.35 m: what 16 bits of centimetres end with.
_SKY = 65535


class VirtualKitti2(Dataset):
    """Metric depth, metres; the sky is outside the mask.

    Args:
        root: the folder with the scenes (rgb, depth and textgt archives unpacked).
        camera: "0", "1" or "all"; the published training of Depth Anything V2 uses
            Camera_0.

    Raises:
        DatasetError: nothing is found.
    """

    title = "vkitti2"

    def __init__(self, root: Path | str, camera: str = "0"):
        self.root = folder(self.title, root)
        chosen(self.title, "camera", camera, ("0", "1", "all"))
        pick = "*" if camera == "all" else camera
        pattern = f"Scene*/*/frames/depth/Camera_{pick}/depth_*.png"
        self._depths = listed(self.title, self.root, [pattern])
        self.names = [_name(path) for path in self._depths]

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        values = read_uint16(path)
        frames, number = path.parents[2], path.stem.removeprefix("depth_")
        rgb = read_rgb(frames / "rgb" / path.parent.name / f"rgb_{number}.jpg")
        cameras = _cameras(frames.parent / "intrinsic.txt")
        return labelled_sample(
            rgb,
            values * _CENTIMETRE,
            "metric_depth",
            "m",
            self.names[index],
            valid=values != _SKY,
            intrinsics=cameras.get((int(number), int(path.parent.name[-1]))),
        )


@functools.lru_cache(maxsize=64)
def _cameras(path: Path) -> dict[tuple[int, int], Intrinsics]:
    """Return the camera of each (frame, camera); none where the file is not there."""
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text().splitlines()[1:] if line.strip()]
    return {
        (int(frame), int(camera)): Intrinsics(*map(float, numbers))
        for frame, camera, *numbers in rows
    }


def _name(depth: Path) -> str:
    scene, variation = depth.parts[-6:-4]
    return f"{scene}/{variation}/{depth.parent.name}/{depth.stem[6:]}"
