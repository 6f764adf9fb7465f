"""NumPy files: `.npy` (values alone) and `.npz` (values and what they mean)."""

import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from jax_depth.formats.stored import Stored, check_pixels, naming, numbers


def write_npy(path: Path, values: Float32[np.ndarray, "h w"]) -> None:
    """Write the values; what they mean is not in the file."""
    with open(path, "wb") as file:
        np.save(file, values, allow_pickle=False)


@naming
def read_npy(path: Path | str) -> Stored:
    """Read numbers (h, w), possibly with one more axis of length 1.

    Raises:
        OSError, ValueError: missing, damaged, or of another shape.
    """
    # Opened here, since np.load leaves a damaged file open.
    with open(path, "rb") as file:
        _check_header(file, os.fstat(file.fileno()).st_size, path)
        file.seek(0)
        return Stored(numbers(np.lib.format.read_array(file, allow_pickle=False), path))


def _check_header(file: Any, size: int, path: Path | str) -> None:
    """Refuse an array that is larger than its file or than a map, before it is read.

    Args:
        file: binary, at its start.
        size: in bytes.
        path: what messages name.
    """
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"{path} has the shape {shape}, which is impossible")
    check_pixels(path, *shape)
    needed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and needed > size:
        raise ValueError(
            f"{path} has {size} bytes where an array {shape} of {dtype} needs "
            f"{needed}: it is cut short or damaged"
        )


def write_npz(
    path: Path,
    values: Float32[np.ndarray, "h w"],
    texts: Mapping[str, str],
    layers: Mapping[str, np.ndarray],
) -> None:
    """Write `values`, every layer under its name, and the texts as strings."""
    arrays = {key: np.array(text) for key, text in texts.items()} | {**layers}
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, values=values, **arrays)


@naming
def read_npz(path: Path | str, *, foreign: bool = False) -> Stored:
    """Read `values`, the texts, and further arrays of the same shape.

    Args:
        path: of the file.
        foreign: take `depth` or the only array where none is called `values`.

    Raises:
        OSError, ValueError: missing, damaged, or without such an array.
    """
    with open(path, "rb") as stream:
        if not zipfile.is_zipfile(stream):  # NumPy would take it for a pickle
            raise ValueError(f"{path} is not a .npz file")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as file:
            for member in file.zip.infolist():
                with file.zip.open(member) as entry:
                    _check_header(entry, member.file_size, path)
            key = "values"
            if foreign and key not in file.files:
                key = "depth" if "depth" in file.files or len(file.files) != 1 else None
                key = key or file.files[0]
            if key not in file.files:
                raise ValueError(
                    f"{path} holds no array named 'values' (it has: "
                    f"{', '.join(file.files) or 'nothing'})"
                )
            values = numbers(file[key], path)
            others = {name: file[name] for name in file.files if name != key}
    texts = {name: str(array) for name, array in others.items() if array.ndim == 0}
    layers = {n: a for n, a in others.items() if a.ndim and a.dtype.kind == "f"}
    return Stored(values, texts, layers)
