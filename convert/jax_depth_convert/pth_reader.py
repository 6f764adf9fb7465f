"""torch.save files with NumPy alone: memory-mapped, and nothing in them is run.

A `.pth` is a pickle, and a pickle is a program. Here its vocabulary is what tensors
are made of; any other name in it is refused before it could be looked up. The two
formats differ in where a tensor's bytes are:

    zip (torch >= 1.6)   archive/data.pkl, and each storage as archive/data/<key>
    legacy               five pickles, then each storage as a count and its bytes

Upstream: torch `serialization.py` (`_save`, `_legacy_save`) and `_utils.py`.
"""

import dataclasses
import io
import math
import os
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_REMEDY = "download or save it again"
_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the legacy format
_PROTOCOL = 1001
# The pickle of the largest model here has 0.2 MB, with an optimiser's state 0.6 MB.
_MAX_PICKLE = 4 << 20
# An expanded tensor may be larger than its file, but not absurdly so.
_MAX_EXPANDED = 64 << 20

_DTYPES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


def read_pth(path: str | os.PathLike) -> Any:
    """Return what `torch.save` wrote, tensors as read-only views of the mapped file.

    Args:
        path: a `.pth`, `.pt` or `.bin` file in either format.

    Returns:
        The saved object: usually a dict, possibly nested, with arrays for tensors.

    Raises:
        ValueError: the file is truncated, compressed, inconsistent, or names
            anything but tensors; one sentence.
    """
    path = Path(path)
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    if data[:2].tobytes() == b"PK":
        content, storages = _read_zip(path, data)
    else:
        content, storages = _read_legacy(path, data)
    try:
        return _resolve(path, content, storages, data.size, {})
    except RecursionError:
        raise ValueError(
            f"{path}: damaged (dicts nested too deep); {_REMEDY}"
        ) from None


@dataclasses.dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor before its storage is known: in the legacy format that comes later."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _StateDict(dict):
    """Stands for an OrderedDict; drops the attributes torch adds (`_metadata`)."""

    def __init__(self, *args):
        # Items come later, one by one; as an argument they could be copied for ever.
        if args:
            raise _Refused("holds an OrderedDict in a form that torch does not write")

    def __setstate__(self, state):
        pass


class _Ignored:
    """Stands for an object that carries no weights, such as a script's options."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


class _Refused(Exception):
    """A sentence, without the file's name, about a pickle that will not be read."""


def _rebuild_tensor(storage, offset, shape, stride, *_):
    sizes = isinstance(shape, tuple) and isinstance(stride, tuple)
    if not sizes or len(shape) != len(stride) or len(shape) > 32:
        raise _Refused("describes a malformed tensor")
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, _Storage) or not all(
        type(n) is int and 0 <= n < 1 << 63 for n in numbers
    ):
        raise _Refused("describes a malformed tensor")
    return _Tensor(storage, offset, shape, stride)


def _rebuild_parameter(tensor, *_):
    return tensor


def _size(shape):
    if not isinstance(shape, list | tuple) or len(shape) > 32:
        raise _Refused("describes a malformed tensor")
    return tuple(shape)


_VOCABULARY: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _StateDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): _size,
    # Options of a training script, saved beside the weights.
    ("argparse", "Namespace"): _Ignored,
    **{("torch", name): _StorageType(dtype) for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, dtypes: dict[str, np.dtype]):
        super().__init__(file)
        self._dtypes = dtypes

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _VOCABULARY[module, name]
        except KeyError:
            asked = f"{module}.{name}"[:100]
            raise _Refused(
                f"its pickle asks for {asked!r}, which is not part of a tensor and "
                "will not be run; save model.state_dict() alone, or as safetensors"
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise _Refused("refers to something that is not a tensor's storage")
        _, kind, key, _, count, *view = pid
        known = isinstance(kind, _StorageType) and isinstance(key, str)
        if not known or type(count) is not int or count < 0 or any(view):
            raise _Refused("describes a malformed storage")
        self._dtypes[key] = kind.dtype
        return _Storage(key, kind.dtype, count)


def _unpickle(
    path: Path, data: np.ndarray, start: int, dtypes: dict[str, np.dtype]
) -> tuple[Any, int]:
    """Return the object pickled at `start` and where the pickle ends.

    Enters the dtype of every storage it refers to into `dtypes`.
    """
    text = data[start : start + _MAX_PICKLE].tobytes()
    try:
        stop = _scan(text)
        return _Unpickler(io.BytesIO(text[:stop]), dtypes).load(), start + stop
    except _Refused as refusal:
        raise ValueError(f"{path}: {refusal}") from None
    except Exception as error:
        # A broken pickle raises almost anything, from IndexError to MemoryError.
        raise ValueError(
            f"{path}: truncated or damaged (its pickle ends in "
            f"{type(error).__name__}); {_REMEDY}"
        ) from None


def _scan(text: bytes) -> int:
    """Return the length of the pickle `text` begins with, without running it.

    Refuses a memo number beyond the pickle's length: the C unpickler would allocate
    a table that large.
    """
    end = 0
    for opcode, argument, position in pickletools.genops(text):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            if isinstance(argument, int) and argument > len(text):
                raise _Refused(f"its pickle is damaged (memo {argument}); {_REMEDY}")
        end = (position or 0) + 1  # STOP is one byte
    return end


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
            f"{path}: a zip archive that torch did not write (it holds {first!r}); "
            "give a .pth or .safetensors file"
        )
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise ValueError(
            f"{path}: is a TorchScript program, not weights; save its "
            "state_dict() with torch.save"
        )
    order = entries.get(f"{root}byteorder")
    if order is not None and _entry(path, data, order).tobytes() != b"little":
        raise ValueError(
            f"{path}: written on a big-endian machine; load and save it with torch on "
            "a little-endian one"
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
            f"{path}: entry {info.filename!r} is compressed or encrypted, which torch "
            "never writes; unpack it and store it again without compression"
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
        f"{path}: truncated or damaged (entry {info.filename!r}); {_REMEDY}"
    )


def _read_legacy(path: Path, data: np.ndarray) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the pickled object and the bytes of every storage."""
    dtypes: dict[str, np.dtype] = {}
    magic, position = _unpickle(path, data, 0, dtypes)
    if magic != _MAGIC:
        raise ValueError(
            f"{path}: a pickle that torch.save did not write; save "
            "model.state_dict() with torch.save"
        )
    protocol, position = _unpickle(path, data, position, dtypes)
    system, position = _unpickle(path, data, position, dtypes)
    little = isinstance(system, dict) and system.get("little_endian") is True
    if protocol != _PROTOCOL or not little:
        raise ValueError(
            f"{path}: written by an unknown version of torch (protocol {protocol!r}) "
            "or a big-endian machine; load and save it with torch once"
        )
    content, position = _unpickle(path, data, position, dtypes)
    keys, position = _unpickle(path, data, position, dtypes)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError(f"{path}: damaged (no list of storages); {_REMEDY}")

    storages = {}
    for key in keys:
        count = int.from_bytes(data[position : position + 8].tobytes(), "little")
        position += 8
        # A storage no tensor refers to: its width is nowhere, so neither is the next.
        if key not in dtypes:
            raise ValueError(f"{path}: damaged (storage {key!r} unused); {_REMEDY}")
        size = count * dtypes[key].itemsize
        if position + size > data.size:
            raise ValueError(
                f"{path}: truncated (storage {key!r} needs {size} bytes, "
                f"{max(data.size - position, 0)} are left); {_REMEDY}"
            )
        storages[key] = data[position : position + size]
        position += size
    if position != data.size:
        raise ValueError(
            f"{path}: {data.size - position} bytes too long for its storages; {_REMEDY}"
        )
    return content, storages


def _resolve(path: Path, content: Any, storages, limit: int, seen: dict) -> Any:
    """Return `content` with arrays in place of tensors, following dicts only."""
    if isinstance(content, _Tensor):
        return _view(path, content, storages, limit)
    if not isinstance(content, dict):
        return content
    if id(content) not in seen:
        result = seen[id(content)] = {}
        for key, value in content.items():
            result[key] = _resolve(path, value, storages, limit, seen)
    return seen[id(content)]


def _view(path: Path, tensor: _Tensor, storages, limit: int) -> np.ndarray:
    """Return a tensor as a strided view of its storage's bytes."""
    dtype, shape = tensor.storage.dtype, tensor.shape
    raw = storages.get(tensor.storage.key)
    if raw is None or raw.size != tensor.storage.count * dtype.itemsize:
        found = "is missing" if raw is None else f"has {raw.size} bytes"
        raise ValueError(
            f"{path}: damaged (storage {tensor.storage.key!r} of "
            f"{tensor.storage.count} {dtype} {found}); {_REMEDY}"
        )
    steps = sum((n - 1) * s for n, s in zip(shape, tensor.stride, strict=True))
    empty = 0 in shape
    if not empty and tensor.offset + steps >= tensor.storage.count:
        raise ValueError(
            f"{path}: damaged (a tensor of shape {shape} reaches beyond its storage of "
            f"{tensor.storage.count}); {_REMEDY}"
        )
    if math.prod(shape) * dtype.itemsize > max(limit, _MAX_EXPANDED):
        raise ValueError(
            f"{path}: damaged (a tensor of shape {shape} is larger than the file); "
            f"{_REMEDY}"
        )
    if empty:
        return np.zeros(shape, dtype)
    values = raw.view(dtype)[tensor.offset :]
    strides = tuple(s * dtype.itemsize for s in tensor.stride)
    return np.lib.stride_tricks.as_strided(values, shape, strides, writeable=False)
