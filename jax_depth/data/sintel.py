"""MPI Sintel (Butler et al. 2012) with its depth: an animated film.

training/(final|clean)/SEQUENCE/frame_NNNN.png
training/depth/SEQUENCE/frame_NNNN.dpt
training/camdata_left/SEQUENCE/frame_NNNN.cam
"""

from pathlib import Path

import numpy as np

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, chosen, folder, listed
from jax_depth.data.sample import Sample, labelled_sample
from jax_depth.formats.raw import read_dpt
from jax_depth.formats.rgb import read_rgb

# A tag (float32), then 3x3 intrinsics in float64 (sintel_io.py of the depth toolkit).
_CAM_TAG, _CAM_BYTES = 202021.25, 4 + 9 * 8


class Sintel(Dataset):
    """Depth in the film's metres.

    Args:
        root: the folder with `training`, or that folder.
        rendering: "final" (with blur, fog and motion blur) or "clean".
        far: depth beyond which nothing is trusted: the sky is at about 1e5. The
            protocols of evaluation cut off at 70 to 80 themselves (the default is our
            choice).

    Raises:
        DatasetError: nothing is found.
    """

    title = "sintel"

    def __init__(self, root: Path | str, rendering: str = "final", far: float = 1000.0):
        self.root = folder(self.title, root)
        chosen(self.title, "rendering", rendering, ("final", "clean"))
        self._rendering, self._far = rendering, float(far)
        patterns = ["depth/*/frame_*.dpt", "training/depth/*/frame_*.dpt"]
        self._depths = listed(self.title, self.root, patterns)
        self.names = [f"{path.parent.name}/{path.stem}" for path in self._depths]

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        top, rest = path.parents[2], Path(path.parent.name, path.stem)
        return labelled_sample(
            read_rgb((top / self._rendering / rest).with_suffix(".png")),
            read_dpt(path).values,
            "metric_depth",
            "m",
            self.names[index],
            far=self._far,
            intrinsics=_camera((top / "camdata_left" / rest).with_suffix(".cam")),
        )


def _camera(path: Path) -> Intrinsics | None:
    if not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) < _CAM_BYTES or np.frombuffer(data, "<f4", 1)[0] != _CAM_TAG:
        raise ValueError(f"{path} is not a .cam file")
    k = np.frombuffer(data, "<f8", 9, 4).reshape(3, 3).tolist()
    return Intrinsics(fx=k[0][0], fy=k[1][1], cx=k[0][2], cy=k[1][2])
