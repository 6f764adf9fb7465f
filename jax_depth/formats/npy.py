"""NumPy files: `.npy` (values alone) and `.npz` (values and what they mean)."""

import zipfile
from pathlib import Path

import numpy as np

from jax_depth.depth_map import DepthMap
from jax_depth.formats.metadata import from_texts, to_texts


def write_npy(depth: DepthMap, path: Path) -> None:
    """Write the float32 (h, w) values; kind and unit are not in the file."""
    with open(path, "wb") as file:
        np.save(file, depth.values, allow_pickle=False)


def read_npy(path: Path, kind: str | None = None) -> DepthMap:
    """Read an array (h, w) of any number type.

    Raises:
        ValueError: not an array of numbers (h, w), or `kind` is not given.
    """
    with open(path, "rb") as file:
        values = np.lib.format.read_array(file, allow_pickle=False)
    return from_texts(_real(values, path), {}, kind, path)


def write_npz(depth: DepthMap, path: Path) -> None:
    """Write `values` and, as texts, `kind`, `unit`, `model`, `max_depth`."""
    texts = {key: np.array(text) for key, text in to_texts(depth).items()}
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, values=depth.values, **texts)


def read_npz(path: Path, kind: str | None = None) -> DepthMap:
    """Read what `write_npz` wrote.

    Raises:
        ValueError: the file holds no array named `values`.
    """
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle
        raise ValueError(f"{path} is not a .npz file")
    # Opened here, since np.load leaves a damaged file open.
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
        if "values" not in file:
            raise ValueError(
                f"{path} holds no array named 'values' (it has: "
                f"{', '.join(file) or 'nothing'})"
            )
        values = file["values"]
        texts = {key: str(file[key]) for key in file if key != "values"}
    return from_texts(_real(values, path), texts, kind, path)


def _real(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {values.dtype} values, not real numbers")
    return values
