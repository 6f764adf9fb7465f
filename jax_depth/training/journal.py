"""The log of a run: lines of JSON, TensorBoard, and a progress bar on a terminal."""

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from jax_depth.formats.atomic import atomic
from jax_depth.formats.printable import printable
from jax_depth.training.board import Board

LOG, FIRST_BATCH = "log.jsonl", "first_batch.png"


class Journal:
    """Writes on one process, and does nothing on the others.

    Args:
        workdir: of the run; the log is appended to `log.jsonl`.
        first: step the run starts or resumes at. What TensorBoard has for later ones,
            from a process that was killed, is hidden.
        steps: of the whole run.
        active: whether this process writes.
        callbacks: called with (step, values) of each line, on every process.
        end: called when one of them returns True.

    Attributes:
        lines: written by this process.
    """

    def __init__(
        self,
        workdir: Path,
        first: int,
        steps: int,
        active: bool = True,
        callbacks: Sequence[Callable[[int, dict[str, Any]], Any]] = (),
        end: Callable[[], None] | None = None,
    ):
        self._active, self._workdir, self._steps = active, workdir, steps
        self._callbacks, self._end = callbacks, end
        self._lock = threading.Lock()
        self.lines: list[dict[str, Any]] = []
        if not active:
            return
        self._file = open(workdir / LOG, "a", encoding="utf-8")
        self._board = Board(workdir / "tensorboard", first)
        self._bar = tqdm(
            total=steps, initial=first, unit="step", disable=not sys.stderr.isatty()
        )

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Log numbers (to TensorBoard as well) and anything else JSON holds."""
        for callback in self._callbacks:
            if callback(step, dict(values)) is True and self._end is not None:
                self._end()
        if not self._active:
            return
        self._add({"step": step} | values)
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.scalar(name, value, step)
        if "loss" in values:
            self._bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)
        tqdm.write(f"train: {_plain(step, self._steps, values)}", file=sys.stderr)

    def pictures(
        self,
        step: int,
        pictures: list[UInt8[np.ndarray, "h w 3"]],
        prefix: str = "held_out/",
    ) -> None:
        """Show pictures in TensorBoard."""
        if self._active:
            for number, picture in enumerate(pictures):
                name = f"{prefix}{number}"
                self._board.picture(name, picture, step)

    def first_batch(self, picture: UInt8[np.ndarray, "h w 3"], step: int) -> None:
        """Show what the network sees, in TensorBoard and as a file."""
        if self._active:
            self._board.picture("first_batch", picture, step)
            with atomic(self._workdir / FIRST_BATCH) as path:
                Image.fromarray(picture).save(path, "PNG")

    def advance(self) -> None:
        """Move the bar by a step."""
        if self._active:
            self._bar.update()

    def say(self, sentence: str, **values: Any) -> None:
        """Tell the user, without breaking the bar, and log it, with numbers if any."""
        if self._active:
            tqdm.write(printable(f"train: {sentence}"), file=sys.stderr)
            self._add({"note": sentence} | values)

    def _add(self, line: dict[str, Any]) -> None:
        # Threads of the loader report too.
        with self._lock:
            self.lines.append(line)
            try:
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
            except OSError as error:
                reason = f"{error.strerror}; the log cannot go on: free some space"
                raise OSError(error.errno, reason, self._file.name) from None

    def close(self) -> None:
        """Write what is buffered."""
        if self._active:
            self._bar.close()
            self._board.close()
            with contextlib.suppress(OSError):  # a full disk, which was said
                self._file.close()


def _plain(step: int, steps: int, values: dict[str, Any]) -> str:
    """Return a line of the log for people."""
    words = {
        "loss": "loss {:.4f}",
        "learning_rate/head": "head's rate {:.3g}",
        "learning_rate/encoder": "encoder's rate {:.3g}",
        "share_of_depth_used": "{:.0%} of the depth used",
        "images_per_second": "{:.4g} pictures/s",
        "epoch": "epoch {:.2f}",
    }
    parts = [text.format(values[k]) for k, text in words.items() if k in values]
    held = {k: v for k, v in values.items() if k.startswith("held_out/")}
    parts += [f"{k} {v:.4g}" for k, v in held.items()]
    if "seconds_left" in values:
        minutes = round(values["seconds_left"] / 60)
        parts.append(f"{minutes // 60} h {minutes % 60} min left")
    return f"step {step} of {steps}: {', '.join(parts)}"
