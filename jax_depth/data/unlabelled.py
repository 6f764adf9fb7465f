"""A folder of pictures, searched recursively: input of distillation."""

import os
from pathlib import Path

from jax_depth.data.dataset import Dataset, folder
from jax_depth.data.sample import DatasetError, Sample
from jax_depth.formats.rgb import read_rgb

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


class Unlabelled(Dataset):
    """Pictures without depth, turned upright by their EXIF orientation.

    Args:
        root: the folder; hidden files and folders in it are passed over.

    Raises:
        DatasetError: there are none.
    """

    title = "unlabelled"

    def __init__(self, root: Path | str):
        self.root = folder(self.title, root)
        self.names = pictures_in(self.root)
        if not self.names:
            raise DatasetError(
                f"{self.root} holds no pictures: looked for {' '.join(SUFFIXES)} in it "
                "and below"
            )

    def _read(self, index: int) -> Sample:
        name = self.names[index]
        rgb = read_rgb(self.root / name, upright=True)
        return Sample(rgb, None, None, None, None, name)


def pictures_in(root: Path) -> list[str]:
    """Return the pictures under a folder by their relative paths, sorted."""
    found = []
    for place, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(place, name).relative_to(root).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)
