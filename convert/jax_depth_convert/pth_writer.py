"""Write what `torch.save` writes, without torch and one tensor at a time.

A zip archive of uncompressed entries: a pickle of protocol 2 that builds an
OrderedDict of tensors from storages, and each storage's bytes. `torch.load` reads it
with `weights_only=True`. Upstream: torch `serialization.py` (`_save`).
"""

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_depth.safetensors_io import cast, raw_bytes

_STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
}
_ALIGNMENT = 64


def write_pth(
    path: str | os.PathLike, tensors: Mapping[str, Any], dtype: str | None = None
) -> None:
    """Write a state dict that `torch.load(path, weights_only=True)` returns.

    Args:
        path: file to write.
        tensors: key to array, or to anything with `shape`, `dtype` and `__array__`,
            asked for its values only when their turn comes.
        dtype: name of a floating dtype every tensor is cast to; None keeps each.

    Raises:
        ValueError: a dtype that is not floating, or a value too large for `dtype`.
    """
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "archive/data.pkl", _pickle(tensors, dtype))
        _add(archive, "archive/byteorder", b"little")
        for index, (key, tensor) in enumerate(tensors.items()):
            values = raw_bytes(cast(tensor, dtype, key))
            _add(archive, f"archive/data/{index}", values)
        _add(archive, "archive/version", b"3\n")


def _pickle(tensors: Mapping[str, Any], dtype: str | None) -> bytes:
    """Return the pickle of an OrderedDict whose i-th tensor owns storage i."""
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=2)
    pickler.write(pickle.PROTO + b"\x02")
    pickler.save(_Global("collections", "OrderedDict"))
    pickler.write(pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.MARK)
    for index, (key, tensor) in enumerate(tensors.items()):
        name = np.dtype(dtype or tensor.dtype).name
        if name not in _STORAGES:
            raise ValueError(f"{key}: a .pth of weights cannot hold {name}")
        pickler.save(key)
        pickler.save_tensor(str(index), _STORAGES[name], tensor.shape)
    pickler.write(pickle.SETITEMS + pickle.STOP)
    return stream.getvalue()


class _Global:
    """A name in a module, written without importing it."""

    def __init__(self, module: str, name: str):
        self.line = f"{module}\n{name}\n".encode()


# The pickler in Python, because only its parts can be called one by one.
class _Pickler(pickle._Pickler):
    dispatch = pickle._Pickler.dispatch.copy()

    def save_global_line(self, obj: _Global) -> None:
        self.write(pickle.GLOBAL + obj.line)

    dispatch[_Global] = save_global_line

    def save_tensor(self, index: str, storage: str, shape: tuple[int, ...]) -> None:
        """Write a call of `_rebuild_tensor_v2` for a tensor in C order."""
        count = int(np.prod(shape, dtype=np.int64))
        stride = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        self.save(_Global("torch._utils", "_rebuild_tensor_v2"))
        self.write(pickle.MARK)
        self.save(("storage", _Global("torch", storage), index, "cpu", count))
        self.write(pickle.BINPERSID)
        for argument in (0, tuple(map(int, shape)), stride, False):
            self.save(argument)
        self.save(_Global("collections", "OrderedDict"))
        self.write(pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.TUPLE + pickle.REDUCE)


def _add(archive: zipfile.ZipFile, name: str, data: Any) -> None:
    """Append an entry whose data begin at a multiple of 64 bytes, as torch's do."""
    info = zipfile.ZipInfo(name)
    header = archive.fp.tell() + 30 + len(name) + 4
    padding = -header % _ALIGNMENT
    # An extra field of our own: id "FB" as torch's, length, padding.
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"\0" * padding
    archive.writestr(info, data)
