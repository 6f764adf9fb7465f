"""The log of a run: lines of JSON, TensorBoard, and a progress bar on a terminal."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

LOG = "log.jsonl"


class Journal:
    """Writes on one process, and does nothing on the others.

    Args:
        workdir: of the run; the log is appended to `log.jsonl`.
        first: step the run begins or goes on at. What TensorBoard has of later ones,
            from a process that was killed, is hidden.
        steps: of the whole run.
        active: whether this process writes.
    """

    def __init__(self, workdir: Path, first: int, steps: int, active: bool = True):
        self._active = active
        if not active:
            return
        from tensorboardX import SummaryWriter

        self._file = open(workdir / LOG, "a", encoding="utf-8")
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=first)
        self._bar = tqdm(
            total=steps, initial=first, unit="step", disable=not sys.stderr.isatty()
        )

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Log numbers (to TensorBoard as well) and anything else JSON holds."""
        if not self._active:
            return
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)
        if "loss" in values:
            self._bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)

    def pictures(self, step: int, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> None:
        """Show pictures in TensorBoard."""
        if self._active:
            for number, picture in enumerate(pictures):
                name = f"held_out/{number}"
                self._board.add_image(name, picture, step, dataformats="HWC")

    def advance(self) -> None:
        """Move the bar by a step."""
        if self._active:
            self._bar.update()

    def say(self, sentence: str) -> None:
        """Tell the user, without breaking the bar, and log it."""
        if self._active:
            tqdm.write(f"train: {sentence}", file=sys.stderr)
            self._file.write(json.dumps({"note": sentence}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Write what is held back."""
        if self._active:
            self._bar.close()
            self._board.close()
            self._file.close()
