"""Read torch.save files with NumPy alone; they are memory-mapped, and no code runs.

The two formats differ in where a tensor's bytes are:

    zip (torch >= 1.6)   archive/data.pkl, and each storage as archive/data/<key>
    legacy               five pickles, then each storage as a count and its bytes

What the pickles say comes from `pickle_reader` as plain values. Here those numbers are
checked against the bytes in the file.

Upstream: torch `serialization.py` (`_save`, `_legacy_save`).
"""

import dataclasses
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth_convert.pickle_reader import unpickle
from jax_depth_convert.pickle_values import (
    Encoded,
    NumpyArray,
    Record,
    Refused,
    Sequence,
    Storage,
    Tensor,
    kind_of,
    shown,
)

_REMEDY = "download or save it again"
_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the legacy format
_PROTOCOL = 1001
# All tensors together against the file: tied weights and expanded tensors count
# again, so that a small file cannot fill a disk when it is written out.
_MAX_REUSE = 8


@dataclasses.dataclass
class SavedFile:
    """The description of a file's content, and its bytes.

    Attributes:
        path: the file.
        content: a value of `pickle_values`, usually a `Record`.
    """

    path: Path
    content: Any
    _storages: Mapping[str, np.ndarray]
    _size: int

    def arrays(
        self, values: Mapping[str, Tensor | NumpyArray]
    ) -> dict[str, np.ndarray]:
        """Return tensors as read-only views of the mapped file.

        Raises:
            ValueError: a tensor's description does not match the bytes.
        """
        result: dict[str, np.ndarray] = {}
        seen: dict[int, np.ndarray] = {}  # one description is one array
        total = 0
        for key, value in values.items():
            if id(value) not in seen:
                array = self._view(key, value)
                total += array.nbytes
                if total > _MAX_REUSE * self._size:
                    raise ValueError(
                        f"{self.path}: damaged (its tensors would need more than "
                        f"{_MAX_REUSE} times the file's size); {_REMEDY}"
                    )
                seen[id(value)] = array
            result[key] = seen[id(value)]
        return result

    def _view(self, key: str, value: Tensor | NumpyArray) -> np.ndarray:
        if isinstance(value, Tensor):
            return _view(self.path, value, self._storages, self._size)
        array = _numpy_array(value)
        if array is None:
            raise ValueError(
                f"{self.path}: {shown(key)} is a NumPy array that is damaged or not "
                "numeric; save model.state_dict() alone"
            )
        return array


def read_pth(path: str | os.PathLike) -> SavedFile:
    """Return what `torch.save` wrote.

    Args:
        path: a `.pth`, `.pt` or `.bin` file in either format.

    Raises:
        ValueError: the file is truncated, compressed or inconsistent, or refers to
            anything but data.
    """
    path = Path(path)
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    if data[:2].tobytes() == b"PK":
        content, storages = _read_zip(path, data)
    else:
        content, storages = _read_legacy(path, data)
    return SavedFile(path, content, storages, data.size)


def _unpickle(
    path: Path, data: np.ndarray, start: int, dtypes: dict[str, np.dtype]
) -> tuple[Any, int]:
    """Return the object pickled at `start` and where the pickle ends.

    Enters the dtype of every storage it refers to into `dtypes`.
    """
    try:
        content, end, storages = unpickle(data.data, start)
    except Refused as refusal:
        remedy = "" if "; " in str(refusal) else f"; {_REMEDY}"
        raise ValueError(f"{path}: {refusal}{remedy}") from None
    dtypes |= {storage.key: storage.dtype for storage in storages}
    return content, end


def _read_zip(path: Path, data: np.ndarray) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the pickled object and the bytes of every storage."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error):
        raise ValueError(
            f"{path}: truncated or damaged (a zip archive without its directory); "
            f"{_REMEDY}"
        ) from None
    pickles = [name for name in entries if name.count("/") == 1]
    pickles = [name for name in pickles if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        first = next(iter(entries), "nothing")
        raise ValueError(
            f"{path}: is a zip archive that torch.save did not write (it contains "
            f"{shown(first)}); unpack it and give the .pth or .safetensors file inside"
        )
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise ValueError(
            f"{path}: is a TorchScript program, not weights; load it with "
            "torch.jit.load and save its state_dict() with torch.save"
        )
    order = entries.get(f"{root}byteorder")
    if order is not None and _entry(path, data, order).tobytes() != b"little":
        raise ValueError(
            f"{path}: was written on a big-endian machine; load it with torch on a "
            "little-endian one and save it again"
        )
    content, _ = _unpickle(path, _entry(path, data, entries[pickles[0]]), 0, {})
    prefix = f"{root}data/"
    return content, {
        name.removeprefix(prefix): _entry(path, data, info)
        for name, info in entries.items()
        if name.startswith(prefix)
    }


def _entry(path: Path, data: np.ndarray, info: zipfile.ZipInfo) -> np.ndarray:
    """Return the mapped bytes of an uncompressed entry."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(
            f"{path}: entry {shown(info.filename)} is compressed or encrypted, which "
            "torch.save never does; save the weights again, or zip them again without "
            "compression"
        )
    # The local header repeats name and extra field; only its own lengths count,
    # since torch pads the extra field to align the data.
    offset = max(info.header_offset, 0)
    header = data[offset : offset + 30].tobytes()
    if len(header) == 30 and header[:4] == b"PK\x03\x04":
        name, extra = struct.unpack("<HH", header[26:])
        start = offset + 30 + name + extra
        entry = data[start : start + info.file_size]
        if entry.size == info.file_size:
            return entry
    raise ValueError(
        f"{path}: truncated or damaged (entry {shown(info.filename)}); {_REMEDY}"
    )


def _read_legacy(path: Path, data: np.ndarray) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the pickled object and the bytes of every storage."""
    dtypes: dict[str, np.dtype] = {}
    magic, position = _unpickle(path, data, 0, dtypes)
    if type(magic) is not int or magic != _MAGIC:
        raise ValueError(
            f"{path}: is a pickle that torch.save did not write; save "
            "model.state_dict() with torch.save"
        )
    protocol, position = _unpickle(path, data, position, dtypes)
    system, position = _unpickle(path, data, position, dtypes)
    little = isinstance(system, Record) and system.entries.get("little_endian") is True
    if type(protocol) is not int or protocol != _PROTOCOL or not little:
        raise ValueError(
            f"{path}: was written by an unknown version of torch (protocol "
            f"{shown(protocol) if type(protocol) is int else kind_of(protocol)}) "
            "or on a big-endian machine; load it with torch and save it again"
        )
    content, position = _unpickle(path, data, position, dtypes)
    keys, position = _unpickle(path, data, position, dtypes)
    if not isinstance(keys, Sequence) or not all(type(k) is str for k in keys.items):
        raise ValueError(f"{path}: damaged (no list of storages); {_REMEDY}")

    storages = {}
    for key in keys.items:
        count = int.from_bytes(data[position : position + 8].tobytes(), "little")
        position += 8
        # A storage no tensor refers to: its width is nowhere, so neither is the next.
        if key not in dtypes:
            raise ValueError(
                f"{path}: damaged (no tensor uses storage {shown(key)}); {_REMEDY}"
            )
        size = count * dtypes[key].itemsize
        if position + size > data.size:
            raise ValueError(
                f"{path}: truncated (storage {shown(key)} needs {size} bytes, "
                f"{max(data.size - position, 0)} are left); {_REMEDY}"
            )
        storages[key] = data[position : position + size]
        position += size
    if position != data.size:
        raise ValueError(
            f"{path}: is {data.size - position} bytes longer than its tensors need; "
            f"{_REMEDY}"
        )
    return content, storages


def _view(path: Path, tensor: Tensor, storages, limit: int) -> np.ndarray:
    """Return a tensor as a strided view of its storage's bytes."""
    dtype, shape, stride = tensor.dtype, tensor.shape, tensor.stride
    raw = _bytes_of(path, tensor.storage, storages)
    count = raw.size // dtype.itemsize
    described = f"a tensor of shape {_sizes(shape)}"
    sound = len(shape) == len(stride) and tensor.offset >= 0
    if not sound or min(*shape, *stride, 0, 0) < 0:
        raise ValueError(f"{path}: damaged ({described} is malformed); {_REMEDY}")
    if math.prod(shape) * dtype.itemsize > limit:
        raise ValueError(
            f"{path}: damaged ({described} is larger than the file); {_REMEDY}"
        )
    if 0 in shape:
        if max(shape) > limit:
            raise ValueError(
                f"{path}: damaged ({described} is larger than the file); {_REMEDY}"
            )
        return np.zeros(shape, dtype)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    if last >= count:
        raise ValueError(
            f"{path}: damaged ({described} reaches beyond its storage of {count}); "
            f"{_REMEDY}"
        )
    steps = tuple(s * dtype.itemsize for s in stride)
    start = tensor.offset * dtype.itemsize
    view = np.ndarray(shape, dtype, raw.data, start, steps)
    view.flags.writeable = False
    return view


def _bytes_of(path: Path, storage: Storage, storages) -> np.ndarray:
    raw = storages.get(storage.key)
    if raw is None or raw.size != storage.count * storage.dtype.itemsize:
        found = "is missing" if raw is None else f"has {raw.size} bytes"
        raise ValueError(
            f"{path}: damaged (storage {shown(storage.key)} of {storage.count} "
            f"{storage.dtype} {found}); {_REMEDY}"
        )
    return raw


def _sizes(shape: tuple[int, ...]) -> str:
    """Return a shape for a message, of at most eight axes."""
    text = ", ".join(map(str, shape[:8]))
    return f"({text}, … {len(shape)} axes)" if len(shape) > 8 else f"{shape}"


def _numpy_array(value: NumpyArray) -> np.ndarray | None:
    """Return an array of numbers, or None if it is damaged or holds anything else."""
    described = value.describe()
    if described is None:
        return None
    dtype, shape, fortran, payload = described
    if isinstance(payload, Encoded):
        payload = payload.to_bytes()
    size = math.prod(shape) * dtype.itemsize
    if (
        not isinstance(payload, bytes)
        or len(payload) != size
        or max(*shape, 0, 0) >= 1 << 40
    ):
        return None
    array = np.frombuffer(payload, dtype).reshape(shape, order="F" if fortran else "C")
    return array.view() if array.dtype.isnative else array.astype(dtype.newbyteorder())
