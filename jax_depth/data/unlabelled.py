"""A folder of pictures, searched recursively: input of distillation."""

from pathlib import Path

from jax_depth.data.dataset import Dataset, folder
from jax_depth.data.sample import DatasetError, Sample
from jax_depth.formats.folders import PHOTO_SUFFIXES, photo_names
from jax_depth.formats.image import Pixels, read_image
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
        self.names, self.left_out = photo_names(self.root)
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

    def picture(self, index: int) -> Pixels:
        """Return a picture as `read_image` does, with more than 8 bits if it has them.

        Raises:
            IndexError, SampleError: as for a sample.
        """
        return self._read_with(
            lambda number: read_image(self.root / self.names[number]), index
        )

    def _read(self, index: int) -> Sample:
        name = self.names[index]
        rgb = read_rgb(self.root / name, upright=True)
        return Sample(rgb, None, None, None, None, name)
