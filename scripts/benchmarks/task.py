"""What every contender of one table is given."""

import dataclasses
from pathlib import Path
from typing import Literal

Work = Literal["forward", "train"]


class Absent(Exception):
    """A contender cannot take part here: one sentence that says why."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One table's work.

    Attributes:
        folder: weights in every layout and the pixels, see `workspace.prepare`.
        model: catalogue name of the network.
        height, width: of the pixels.
        batch: pictures in one call.
        work: "forward" is pixels to depth; "train" one optimiser step.
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
        """The same weights as a transformers folder; missing for a model of ours."""
        return Path(self.folder) / "transformers"

    @property
    def pixels(self) -> Path:
        """NumPy file of normalised pixels (b, h, w, 3) float32."""
        return Path(self.folder) / f"pixels-{self.shape_name}.npy"

    @property
    def target(self) -> Path:
        """NumPy file of disparities (b, h, w) float32, what "train" learns."""
        return Path(self.folder) / f"target-{self.shape_name}.npy"

    @property
    def onnx(self) -> Path:
        """Transformers' model as exported by torch for exactly these pixels."""
        return Path(self.folder) / f"transformers-{self.shape_name}.onnx"

    @property
    def shape_name(self) -> str:
        """Batch and size as part of a file name."""
        return f"{self.batch}x{self.height}x{self.width}"
