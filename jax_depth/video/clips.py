"""Depth of a video into files: a film, a folder of 16-bit frames, one array."""

import csv
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from jax_depth.formats.atomic import atomic
from jax_depth.inference.resample import resize_bilinear
from jax_depth.map_files import spread_over_16_bits, to_texts
from jax_depth.outputs.color import colorize, side_by_side
from jax_depth.outputs.legend import with_legend
from jax_depth.video.video_depth import FrameDepth
from jax_depth.video.writing import VideoWriter


class ClipWriter(Protocol):
    """Takes frame after frame; after `close` the file is complete, however few came."""

    def write(self, result: FrameDepth) -> None: ...
    def close(self) -> bool:
        """Finish the file; say whether there is one."""
        ...


class FilmWriter:
    """A video of the coloured depth, beside the frames or alone."""

    def __init__(
        self,
        writer: VideoWriter,
        *,
        colormap: str = "Spectral_r",
        beside: bool = True,
        legend: bool = False,
    ):
        """Take an open writer.

        Args:
            writer: of the file.
            colormap: a name from `jax_depth.outputs.colormap.COLORMAPS`.
            beside: put the frame on the left, as `run_video.py` of Depth Anything.
            legend: add a legend below: which colour is near, and the range of each
                frame.
        """
        self._writer, self._colormap = writer, colormap
        self._beside, self._legend = beside, legend

    def write(self, result: FrameDepth) -> None:
        """Append a frame."""
        picture = picture_of(result, self._colormap)
        if self._beside:
            picture = side_by_side(result.frame.pixels, picture)
        if self._legend:
            span = _span_of(result)
            picture = with_legend(picture, result.shown, self._colormap, *span)
        self._writer.write(picture, result.frame.time)

    def close(self) -> bool:
        """Finish the file; say whether there is one."""
        return self._writer.close()


def picture_of(result: FrameDepth, colormap: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the coloured depth of a frame, in the range that it is to be shown in."""
    return colorize(result.shown, colormap, *_span_of(result))


def _span_of(result: FrameDepth) -> tuple[float | None, float | None]:
    low, high = result.placed.low, result.placed.high
    if low is not None and high is not None and not low < high:
        high = low + 1.0  # a clip that begins with a constant map, a black frame
    return low, high


class FrameFolderWriter:
    """A folder with one 16-bit PNG a frame, and `frames.csv` with their times.

    Files are numbered from 0; of a numbered sequence they keep its numbers, and the
    table names the picture that each came from.

    Scale and offset are inside each PNG, see `jax_depth.formats.png16`; where the
    extremes of the clip are known all frames share them. The folder of an earlier run
    is replaced.
    """

    def __init__(self, folder: Path):
        if folder.exists() and not (folder / "frames.csv").exists():
            if not folder.is_dir() or any(folder.iterdir()):
                raise ValueError(
                    f"'{folder}' exists and holds something other than frames of "
                    "depth; choose another output folder"
                )
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9]*.png"):
            old.unlink()
        self._folder, self._count = folder, 0
        self._table = open(
            folder / "frames.csv",
            "w",
            newline="",
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._rows = csv.writer(self._table)
        self._rows.writerow(("file", "seconds", "scale", "shift", "cut", "source"))

    def write(self, result: FrameDepth) -> None:
        """Write the next file."""
        frame = result.frame
        number = self._count if frame.number is None else frame.number
        name = f"{number:06}.png"
        with atomic(self._folder / name) as path:
            spread_over_16_bits(result.depth, path, result.extremes)
        placed = result.placed
        row = name, f"{frame.time:.6f}", placed.scale, placed.shift
        # The apostrophe keeps a spreadsheet from running a name as a formula.
        formula = frame.source.startswith(("=", "+", "-", "@", "\t", "\r"))
        source = f"'{frame.source}" if formula else frame.source
        self._rows.writerow((*row, int(placed.cut), source))
        self._table.flush()
        self._count += 1

    def close(self) -> bool:
        """Close the table; return whether it has a frame."""
        self._table.close()
        return self._count > 0


class NpzWriter:
    """One `.npz`: values (t, h, w), and what is known of each frame.

    Arrays: `values` float32; `seconds`, `scale`, `shift` float64 (t,), where the model
    gave (values - shift) / scale; `cut` bool (t,); `kind`, `unit`, `model`,
    `max_depth` as in the `.npz` of one map. Values wait in a temporary file beside the
    result, not in memory. A frame of another size than the first is resized to it.
    """

    def __init__(self, path: Path):
        self._path = path
        self._values = tempfile.TemporaryFile(dir=path.parent)
        self._shape: tuple[int, int] | None = None
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("seconds", "scale", "shift", "cut")
        }
        self._texts: dict[str, str] = {}

    def write(self, result: FrameDepth) -> None:
        """Add a frame."""
        depth = result.depth
        if self._shape is None:
            self._shape, self._texts = depth.shape, to_texts(depth)
        values = depth.values
        if depth.shape != self._shape:
            values = resize_bilinear(values, self._shape)
        self._values.write(np.ascontiguousarray(values).data)
        self._columns["seconds"].append(result.frame.time)
        for name in ("scale", "shift", "cut"):
            self._columns[name].append(getattr(result.placed, name))

    def close(self) -> bool:
        """Write the file; without a frame there is none, and False comes back."""
        if self._shape is None:
            self._values.close()
            return False
        frames = len(self._columns["seconds"])
        arrays = {name: np.array(column) for name, column in self._columns.items()}
        arrays |= {name: np.array(text) for name, text in self._texts.items()}
        header = {"descr": "<f4", "fortran_order": False}
        header["shape"] = (frames, *self._shape)
        with self._values, atomic(self._path) as path:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                with archive.open("values.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_2_0(entry, header)
                    self._values.seek(0)
                    shutil.copyfileobj(self._values, entry, 1 << 20)
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w") as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
        return True
