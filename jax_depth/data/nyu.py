"""NYU Depth v2 (Silberman et al. 2012): 1449 labelled frames of a Kinect.

    nyu_depth_v2_labeled.mat     HDF5: images, depths (holes filled), rawDepths (0 none)
    splits.mat                   trainNdxs (795), testNdxs (654), counted from 1

MATLAB stores columns first, so the arrays are (n, 3, w, h) and (n, w, h).
"""

from pathlib import Path
from typing import Any

import numpy as np

from jax_depth.camera import Intrinsics
from jax_depth.data.dataset import Dataset, chosen
from jax_depth.data.sample import DatasetError, Sample, labelled_sample
from jax_depth.formats.optional import optional_module

_KEYS = {"raw": "rawDepths", "filled": "depths"}
_SPLITS = {"train": "trainNdxs", "test": "testNdxs"}
# Of the colour camera, on whose picture the depth was projected (`camera_params.m` of
# the dataset's toolbox).
_CAMERA = Intrinsics(518.85790117, 519.46961112, 325.58244941, 253.73616633)


class NyuV2(Dataset):
    """Metric depth, metres.

    Args:
        root: the `.mat` file, or the folder with it and `splits.mat`.
        depth: "raw", as measured, a quarter of the pixels missing, which reproduces the
            published zero-shot figures of Depth Anything; or "filled", with the missing
            ones made up. There is no default, since the two give figures 20 % apart.
        split: "test", "train" or "all"; the former need `splits.mat`.

    Raises:
        DatasetError: nothing is found, or it is not that file.
        ValueError: h5py is not installed.
    """

    title = "nyu"

    def __init__(self, root: Path | str, depth: str = "", split: str = "test"):
        if depth not in _KEYS:
            raise DatasetError(
                "nyu: say which depth: depth=raw (as measured, with holes) or "
                f"depth=filled (holes made up), not {depth!r}"
            )
        chosen(self.title, "split", split, (*_SPLITS, "all"))
        self.root = Path(root)
        self._path = self.root
        if not self.root.is_file():
            self._path = self.root / "nyu_depth_v2_labeled.mat"
        if not self._path.is_file():
            raise DatasetError(
                f"{self.root} holds no nyu samples: looked for nyu_depth_v2_labeled.mat"
            )
        self._key = _KEYS[depth]
        self._indices = self._choose(split)
        self.names = [f"{index + 1:04d}" for index in self._indices]

    def _choose(self, split: str) -> list[int]:
        """Return the frames of a split, counted from 0."""
        h5py = optional_module("h5py", "HDF5 files need", "data")
        try:
            with h5py.File(self._path, "r") as file:
                length = _array(file, "images").shape[0]
                _array(file, self._key)
        except (OSError, KeyError, TypeError) as error:
            raise DatasetError(
                f"nyu: {self._path} is damaged or not the labelled dataset ({error})"
            ) from None
        if split == "all":
            return list(range(length))
        path = self._path.with_name("splits.mat")
        if not path.is_file():
            raise DatasetError(
                f"nyu: the {split} split needs splits.mat beside {self._path.name}; "
                "get it from the dataset's page, or give split=all"
            )
        from scipy.io import loadmat

        try:
            numbers = loadmat(path)[_SPLITS[split]].ravel().astype(int) - 1
        except Exception as error:  # whatever SciPy meets in a damaged file
            raise DatasetError(f"nyu: {path} cannot be read: {error}") from None
        if not len(numbers) or numbers.min() < 0 or numbers.max() >= length:
            raise DatasetError(
                f"nyu: {path} names frames beyond the {length} of {self._path.name}"
            )
        return numbers.tolist()

    def _read(self, index: int) -> Sample:
        frame = self._indices[index]
        # h5py opens a file once however often it is asked to, under a lock of its own.
        h5py = optional_module("h5py", "HDF5 files need", "data")
        with h5py.File(self._path, "r") as file:
            rgb = np.asarray(_array(file, "images")[frame])
            depth = np.asarray(_array(file, self._key)[frame], np.float32)
        return labelled_sample(
            np.ascontiguousarray(rgb.transpose(2, 1, 0)),
            depth.T,
            "metric_depth",
            "m",
            self.names[index],
            intrinsics=_CAMERA,
        )


def _array(file: Any, key: str) -> Any:
    return file[key]
