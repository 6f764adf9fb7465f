"""TartanAir (Wang et al. 2020, arXiv:2003.14338): rendered flights, 30 environments.

ENV/[ENV/](Easy|Hard)/PXXX/image_left/IIIIII_left.png
ENV/[ENV/](Easy|Hard)/PXXX/depth_left/IIIIII_left_depth.npy     float32, metres
"""

from pathlib import Path

import numpy as np

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, chosen, folder, listed
from jax_depth.data.sample import DatasetError, Sample, labelled_sample
from jax_depth.formats.npy import read_npy
from jax_depth.formats.rgb import read_rgb

# Depth beyond which an environment is not believed, metres (Depth Anything 3,
# arXiv:2511.10647, appendix A), and the one that paper leaves out.
_BELIEVED = {
    "carwelding": 80.0,
    "hospital": 30.0,
    "ocean": 1000.0,
    "office": 30.0,
    "office2": 30.0,
}
_LEFT_OUT = "amusement"
# All pictures are 640x480 with a field of view of 90 degrees.
_CAMERA = Intrinsics(320.0, 320.0, 320.0, 240.0)


class TartanAir(Dataset):
    """Metric depth, metres.

    Args:
        root: the folder with the environments.
        side: "left", "right" or "all".
        cleaning: "da3" leaves out the environment `amusement` and masks what is beyond
            a limit of the environment, as Depth Anything 3 does; "none" keeps all.
        far: metres beyond which nothing is trusted: the sky is rendered at thousands
            of metres (our choice).

    Raises:
        DatasetError: nothing is found.
    """

    title = "tartanair"

    def __init__(
        self,
        root: Path | str,
        side: str = "left",
        cleaning: str = "none",
        far: float = 1000.0,
    ):
        self.root = folder(self.title, root)
        chosen(self.title, "side", side, ("left", "right", "all"))
        chosen(self.title, "cleaning", cleaning, ("none", "da3"))
        sides = ("left", "right") if side == "all" else (side,)
        tails = [f"P*/depth_{s}/*_{s}_depth.npy" for s in sides]
        levels = [f"{d}/{level}" for d in ("*", "*/*") for level in ("Easy", "Hard")]
        patterns = [f"{level}/{tail}" for level in levels for tail in tails]
        self._depths = listed(self.title, self.root, patterns)
        self._limits = {}
        if cleaning == "da3":
            self._limits = _BELIEVED
            self._depths = [p for p in self._depths if p.parts[-5] != _LEFT_OUT]
            if not self._depths:
                raise DatasetError(
                    f"tartanair: {root} holds only {_LEFT_OUT}, which cleaning=da3 "
                    "leaves out"
                )
        self._far = float(far)
        self.names = [
            "/".join((*p.parts[-5:-2], p.name.removesuffix("_depth.npy")))
            for p in self._depths
        ]

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        name = path.name.replace("_depth.npy", ".png")
        pictures = path.parent.parent / path.parent.name.replace("depth", "image")
        rgb = read_rgb(pictures / name)
        values = np.asarray(read_npy(path).values, np.float32)
        far = min(self._far, self._limits.get(path.parts[-5], np.inf))
        known = rgb.shape[:2] == (480, 640)
        return labelled_sample(
            rgb,
            values,
            "metric_depth",
            "m",
            self.names[index],
            far=far,
            intrinsics=_CAMERA if known else None,
        )
