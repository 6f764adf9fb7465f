"""A folder of pictures, searched recursively: input of distillation."""

from pathlib import Path

from jax_depth.data.dataset import Dataset, folder
from jax_depth.data.sample import DatasetError, Sample
from jax_depth.formats.folders import PHOTO_SUFFIXES, photos_in
from jax_depth.formats.rgb import read_rgb


class Unlabelled(Dataset):
    """Pictures without depth, turned upright by their EXIF orientation.

    Args:
        root: the folder; hidden files and folders in it are passed over.

    Attributes:
        left_out: a sentence for each file that could be taken for a photo and is not
            read, such as camera raw files.

    Raises:
        DatasetError: there are none.
    """

    title = "unlabelled"

    def __init__(self, root: Path | str):
        self.root = folder(self.title, root)
        self.names, self.left_out = pictures_in(self.root)
        if not self.names:
            raise DatasetError(
                " ".join(
                    [
                        f"{self.root} holds no pictures: looked for "
                        f"{' '.join(sorted(PHOTO_SUFFIXES))} in it and below",
                        *self.left_out[:1],
                    ]
                )
            )

    def _read(self, index: int) -> Sample:
        name = self.names[index]
        rgb = read_rgb(self.root / name, upright=True)
        return Sample(rgb, None, None, None, None, name)


def pictures_in(root: Path) -> tuple[list[str], list[str]]:
    """Return the pictures under a folder, sorted, and a sentence for what is left out.

    Pictures by their relative paths.
    """
    names, left_out = [], []
    for path, sentence in photos_in(root, follow_links=True):
        if sentence is None:
            names.append(path.relative_to(root).as_posix())
        else:
            left_out.append(sentence)
    return sorted(names), left_out
