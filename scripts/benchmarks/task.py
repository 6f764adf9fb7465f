"""What each contender of a table is given."""

import dataclasses
from pathlib import Path
from typing import Literal

Work = Literal["forward", "train"]


class Absent(Exception):
    """A contender cannot take part here; the message says why in one sentence."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One table's work.

    Attributes:
        folder: the pixels, and the weights in every layout, see `workspace.prepare`.
        model: catalogue name of the network.
        height, width: of the pixels.
        batch: pictures per call.
        work: "forward", pixels to depth, or "train", one optimiser step.
    """

    folder: str
    model: str
    height: int
    width: int
    batch: int = 1
    work: Work = "forward"

    @property
    def native(self) -> Path:
        """The native model directory."""
        return Path(self.folder) / "native"

    @property
    def transformers(self) -> Path:
        """The same weights as a transformers folder; absent for models of our own."""
        return Path(self.folder) / "transformers"

    @property
    def pixels(self) -> Path:
        """NumPy file of normalised pixels (b, h, w, 3) float32."""
        return Path(self.folder) / f"pixels-{self.shape_name}.npy"

    @property
    def target(self) -> Path:
        """NumPy file of disparities (b, h, w) float32, the target of "train"."""
        return Path(self.folder) / f"target-{self.shape_name}.npy"

    @property
    def onnx(self) -> Path:
        """Transformers' model, exported by torch for exactly these pixels."""
        return Path(self.folder) / f"transformers-{self.shape_name}.onnx"

    @property
    def shape_name(self) -> str:
        """Batch and size as part of a file name."""
        return f"{self.batch}x{self.height}x{self.width}"
