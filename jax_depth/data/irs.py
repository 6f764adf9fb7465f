"""IRS (Wang et al. 2019, arXiv:1912.09678): rendered interiors for indoor robots.

    [IRSDataset/](Home|Office|Restaurant|Store)/SCENE/l_N.png       left picture
    [IRSDataset/](Home|Office|Restaurant|Store)/SCENE/d_N.exr       its disparity

The disparity is in pixels of the 960x540 picture, between cameras 0.1 m apart with a
focal length of 480 pixels (`dataloader/scripts/disp2pcd.py` of HKBU-HPML/IRS).
"""

from pathlib import Path

import numpy as np

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, folder, listed
from jax_depth.data.sample import Sample, labelled_sample
from jax_depth.formats.exr import read_exr
from jax_depth.formats.rgb import read_rgb

_FOCAL, _BASELINE = 480.0, 0.1


class Irs(Dataset):
    """Metric depth, metres; no disparity, no depth.

    Args:
        root: the folder with `Home`, `Office`, `Restaurant` and `Store`, any of them.

    Raises:
        DatasetError: nothing is found.
    """

    title = "irs"

    def __init__(self, root: Path | str):
        self.root = folder(self.title, root)
        rooms = ("Home", "Office", "Restaurant", "Store")
        tails = [f"{room}/*/d_*.exr" for room in rooms]
        patterns = [*tails, *(f"IRSDataset/{tail}" for tail in tails)]
        self._disparities = listed(self.title, self.root, patterns)
        self.names = [
            f"{'/'.join(path.parts[-3:-1])}/{path.stem[2:]}"
            for path in self._disparities
        ]

    def _read(self, index: int) -> Sample:
        path = self._disparities[index]
        rgb = read_rgb(path.with_name(f"l_{path.stem[2:]}.png"))
        disparity = read_exr(path).values
        valid = np.isfinite(disparity) & (disparity > 0)
        product = np.float32(_FOCAL * _BASELINE)
        height, width = rgb.shape[:2]
        return labelled_sample(
            rgb,
            product / np.where(valid, disparity, np.float32(1)),
            "metric_depth",
            "m",
            self.names[index],
            valid=valid,
            intrinsics=Intrinsics(_FOCAL, _FOCAL, (width - 1) / 2, (height - 1) / 2),
        )
