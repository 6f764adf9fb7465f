"""Write files in `torch.save`'s format, without torch and one tensor at a time.

A zip archive of uncompressed entries: a pickle of protocol 2 that builds an
OrderedDict of tensors from storages, and each storage's bytes. `torch.load` reads it
with `weights_only=True`. Upstream: torch `serialization.py` (`_save`).
"""

import math
import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_depth.formats.safetensors import cast, raw_bytes

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
        tensors: key to array, or to anything with `shape`, `dtype` and `__array__`;
            values are computed one tensor at a time, as each is written.
        dtype: name of a floating dtype every tensor is cast to; None keeps each.

    Raises:
        ValueError: a dtype that is not floating, or a value too large for `dtype`.
    """
    content = _pickle(tensors, dtype)
    with open(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:

        def add(name: str, data: Any) -> None:
            archive.writestr(_entry(name, file.tell()), data)

        add("archive/data.pkl", content)
        add("archive/byteorder", b"little")
        for index, (key, tensor) in enumerate(tensors.items()):
            values = raw_bytes(cast(tensor, dtype, key))
            add(f"archive/data/{index}", values)
        add("archive/version", b"3\n")


def _pickle(tensors: Mapping[str, Any], dtype: str | None) -> bytes:
    """Return the pickle of an OrderedDict whose i-th tensor owns storage i."""
    body = b""
    for index, (key, tensor) in enumerate(tensors.items()):
        name = np.dtype(dtype or tensor.dtype).name
        if name not in _STORAGES:
            raise ValueError(f"{key}: dtype {name} cannot be stored in a .pth")
        body += _dump(key) + _dump_tensor(str(index), _STORAGES[name], tensor.shape)
    head = pickle.PROTO + b"\x02" + _EMPTY_DICT + pickle.MARK
    return head + body + pickle.SETITEMS + pickle.STOP


def _dump_tensor(index: str, storage: str, shape: tuple[int, ...]) -> bytes:
    """Return a call of `_rebuild_tensor_v2` for a tensor in C order."""
    stride = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    return (
        _global("torch._utils", "_rebuild_tensor_v2")
        + pickle.MARK
        + pickle.MARK
        + _dump("storage")
        + _global("torch", storage)
        + _dump(index)
        + _dump("cpu")
        + _dump(math.prod(shape))
        + pickle.TUPLE
        + pickle.BINPERSID
        + _dump(0)  # offset
        + _dump(tuple(shape))
        + _dump(stride)
        + pickle.NEWFALSE  # requires_grad
        + _EMPTY_DICT  # backward hooks
        + pickle.TUPLE
        + pickle.REDUCE
    )


def _dump(value: Any) -> bytes:
    """Return the opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]  # without PROTO 2 and STOP


def _global(module: str, name: str) -> bytes:
    """Return the opcode that pushes a name, which is not imported here."""
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


_EMPTY_DICT = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _entry(name: str, offset: int) -> zipfile.ZipInfo:
    """Return an entry at `offset` whose data begin at a multiple of 64, as in torch."""
    info = zipfile.ZipInfo(name)
    header = offset + 30 + len(name) + 4
    padding = -header % _ALIGNMENT
    # An extra field of our own: id "FB" as torch's, length, padding.
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"\0" * padding
    return info
