"""BlendedMVS (Yao et al. 2020, arXiv:1911.10127): rendered reconstructions.

SCENE/blended_images/IIIIIIII.jpg
SCENE/rendered_depth_maps/IIIIIIII.pfm       0 where there is nothing
SCENE/cams/IIIIIIII_cam.txt                  extrinsic, intrinsic, depth range
"""

from pathlib import Path

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, folder, listed
from jax_depth.data.sample import Sample, labelled_sample
from jax_depth.formats.pfm import read_pfm
from jax_depth.formats.rgb import read_rgb


class BlendedMvs(Dataset):
    """Depth without a unit: every scene has a scale of its own.

    Args:
        root: the folder with the scenes, of the low- or the high-resolution set.

    Raises:
        DatasetError: nothing is found.
    """

    title = "blendedmvs"

    def __init__(self, root: Path | str):
        self.root = folder(self.title, root)
        pattern = "*/rendered_depth_maps/*.pfm"
        self._depths = listed(self.title, self.root, [pattern])
        self.names = [f"{path.parts[-3]}/{path.stem}" for path in self._depths]

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        scene = path.parent.parent
        return labelled_sample(
            read_rgb(scene / "blended_images" / f"{path.stem}.jpg"),
            read_pfm(path).values,
            "depth",
            None,
            self.names[index],
            intrinsics=_camera(scene / "cams" / f"{path.stem}_cam.txt"),
        )


def _camera(path: Path) -> Intrinsics | None:
    if not path.is_file():
        return None
    words = path.read_text().split()
    k = [float(word) for word in words[words.index("intrinsic") + 1 :][:9]]
    return Intrinsics(fx=k[0], fy=k[4], cx=k[2], cy=k[5])
