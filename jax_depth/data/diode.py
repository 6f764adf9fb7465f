"""DIODE (Vasiljevic et al. 2019, arXiv:1908.00463): laser scans, indoors and outdoors.

[train|val/](indoors|outdoor)/scene_*/scan_*/NAME.png
[train|val/](indoors|outdoor)/scene_*/scan_*/NAME_depth.npy        (768, 1024, 1), m
[train|val/](indoors|outdoor)/scene_*/scan_*/NAME_depth_mask.npy   1 where valid
"""

from pathlib import Path

import numpy as np

from jax_depth.data.dataset import Dataset, chosen, folder, listed
from jax_depth.data.sample import Sample, labelled_sample
from jax_depth.formats.npy import read_npy
from jax_depth.formats.rgb import read_rgb


class Diode(Dataset):
    """Metric depth, metres, where the dataset's own mask allows.

    Args:
        root: the folder with `val` or `train`, or one of these.
        split: "val" or "train" where `root` holds both or either; "all" takes what is
            there.
        domain: "indoors" (325 of val), "outdoor" (446) or "all".

    Raises:
        DatasetError: nothing is found.
    """

    title = "diode"

    def __init__(self, root: Path | str, split: str = "all", domain: str = "all"):
        self.root = folder(self.title, root)
        chosen(self.title, "split", split, ("val", "train", "all"))
        chosen(self.title, "domain", domain, ("indoors", "outdoor", "all"))
        places = ("", "val/", "train/") if split == "all" else (f"{split}/",)
        if split == self.root.resolve().name:
            places = ("",)
        domains = ("indoors", "outdoor") if domain == "all" else (domain,)
        tails = [f"{d}/scene_*/scan_*/*_depth.npy" for d in domains]
        patterns = [place + tail for place in places for tail in tails]
        self._depths = listed(self.title, self.root, patterns)
        self.names = [_name(path) for path in self._depths]

    def _read(self, index: int) -> Sample:
        path = self._depths[index]
        stem = path.name.removesuffix("_depth.npy")
        mask = read_npy(path.with_name(f"{stem}_depth_mask.npy")).values
        return labelled_sample(
            read_rgb(path.with_name(f"{stem}.png")),
            np.asarray(read_npy(path).values, np.float32),
            "metric_depth",
            "m",
            self.names[index],
            valid=mask > 0.5,
        )


def _name(depth: Path) -> str:
    # Domain, scene and scan are in the file's own name; so is all but the split.
    return f"{'/'.join(depth.parts[-4:-1])}/{depth.name.removesuffix('_depth.npy')}"
