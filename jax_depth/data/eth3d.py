"""ETH3D high-resolution multi-view (Schöps et al. 2017): laser scans, 13 scenes.

    SCENE/images/dslr_images/DSC_NNNN.JPG                 the distorted pictures
    SCENE/ground_truth_depth/dslr_images/DSC_NNNN.JPG     raw float32, the same size

The files of depth have the pictures' suffix but no header; infinity is unknown. They
belong to the distorted pictures, not to `dslr_images_undistorted`.
"""

from pathlib import Path

from jax_depth.data.dataset import Dataset, folder, listed
from jax_depth.data.sample import Sample, labelled_sample
from jax_depth.formats.raw import read_raw_float32
from jax_depth.formats.rgb import read_rgb


class Eth3d(Dataset):
    """Metric depth, metres.

    Args:
        root: the folder with the scenes.

    Raises:
        DatasetError: nothing is found.
    """

    title = "eth3d"

    def __init__(self, root: Path | str):
        self.root = folder(self.title, root)
        tail = "ground_truth_depth/dslr_images/*.JPG"
        self._depths = listed(self.title, self.root, [f"*/{tail}", f"*/*/{tail}"])
        self.names = [f"{path.parts[-4]}/{path.stem}" for path in self._depths]

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        rgb = read_rgb(path.parents[2] / "images" / "dslr_images" / path.name)
        values = read_raw_float32(path, *rgb.shape[:2])
        return labelled_sample(rgb, values, "metric_depth", "m", self.names[index])
