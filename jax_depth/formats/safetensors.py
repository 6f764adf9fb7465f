"""safetensors files: read memory-mapped, written one tensor at a time.

The safetensors package copies every tensor it reads and wants all of them at once
when it writes. Here reading is a view of the mapped file and writing streams, so
that a model converts in little more than its own size of memory. Format:
https://huggingface.co/docs/safetensors (8 bytes header length, JSON, data).
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from jax_depth.formats.json_file import parse_json, require_regular

# The format allows 100 MB; the header of the largest model here has 0.1 MB.
_MAX_HEADER = 16 << 20
_REMEDY = "download or write it again"

_DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "C64": np.dtype("<c8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return every tensor of a file as a read-only view of the mapped file.

    Args:
        path: a `.safetensors` file.

    Returns:
        Tensor name to array, in the file's order; bfloat16 as `ml_dtypes.bfloat16`.

    Raises:
        ValueError: the file is truncated, foreign or inconsistent.
    """
    text, size = _read_header(path)
    header = _parse_header(path, text)
    start = 8 + len(text)
    _check_layout(path, header, size - start)
    if size == start:
        data = np.zeros(0, np.uint8)
    else:
        data = np.memmap(path, np.uint8, "r", offset=start, shape=(size - start,))
        data = data.view(np.ndarray)
    return {
        name: data[begin:end].view(dtype).reshape(shape)
        for name, (dtype, shape, begin, end) in header.items()
    }


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Return the strings in the header of a file that `read_safetensors` takes."""
    header = parse_json(_read_header(path)[0])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def write_safetensors(
    path: str | os.PathLike,
    tensors: Mapping[str, Any],
    dtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors, holding one at a time in memory.

    Args:
        path: file to write.
        tensors: name to array, or to anything with `shape`, `dtype` and
            `__array__`, which is then asked for its values only when their turn
            comes.
        dtype: name of a floating dtype that every tensor is cast to; None keeps
            each as it is.
        metadata: strings for the header.

    Raises:
        ValueError: a dtype the format does not have, or a value too large for
            `dtype`.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in sorted(tensors):
        stored = np.dtype(dtype or tensors[name].dtype)
        if stored not in _NAMES:
            raise ValueError(f"{name}: safetensors files cannot hold dtype {stored}")
        shape = tuple(tensors[name].shape)
        end = offset + math.prod(shape) * stored.itemsize
        header[name] = {
            "dtype": _NAMES[stored],
            "shape": shape,
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in sorted(tensors):
            file.write(raw_bytes(cast(tensors[name], dtype, name)).data)


def cast(tensor: Any, dtype: str | None, name: str) -> np.ndarray:
    """Return a tensor's values in `dtype`, or as they are if it is None.

    Raises:
        ValueError: a finite value does not fit `dtype`.
    """
    array = np.asarray(tensor)
    if dtype is None or array.dtype == np.dtype(dtype):
        return array
    with np.errstate(over="ignore"):
        result = array.astype(np.dtype(dtype))
    if not np.array_equal(np.isfinite(array), np.isfinite(result)):
        raise ValueError(
            f"{name}: a value does not fit {dtype}; store the model as float32"
        )
    return result


def raw_bytes(array: np.ndarray) -> np.ndarray:
    """Return the bytes of an array in C order; a view when it already is in order."""
    # bfloat16 has no buffer protocol, so through uint8.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _read_header(path: str | os.PathLike) -> tuple[bytes, int]:
    """Return the header's JSON and the size of the file."""
    require_regular(path)
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise ValueError(
                f"{path}: not a complete safetensors file (header of {length} bytes, "
                f"file of {size}); {_REMEDY}"
            )
        text = file.read(length)
    return text, size


def _parse_header(path, text: bytes) -> dict[str, tuple[np.dtype, tuple, int, int]]:
    """Return name -> (dtype, shape, begin, end) in the file's order."""
    try:
        document = parse_json(text, object_pairs_hook=_unique)
    except ValueError:
        raise ValueError(
            f"{path}: not a safetensors file (its header is not valid JSON); {_REMEDY}"
        ) from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: not a safetensors file (no header); {_REMEDY}")
    document.pop("__metadata__", None)
    return {name: _parse_entry(path, name, e) for name, e in document.items()}


def _short(name: str) -> str:
    """Return a tensor's name for a message."""
    return repr(name if len(name) <= 100 else name[:99] + "…")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _parse_entry(path, name: str, entry: Any) -> tuple[np.dtype, tuple, int, int]:
    try:
        kind, shape, (begin, end) = (
            entry["dtype"],
            entry["shape"],
            entry["data_offsets"],
        )
        if not isinstance(shape, list):
            raise TypeError
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path}: tensor {_short(name)} has a malformed header entry; {_REMEDY}"
        ) from None
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(
            f"{path}: tensor {_short(name)} has dtype {str(kind)[:40]!r}, which is "
            f"not supported; store it as one of {', '.join(_DTYPES)}"
        )
    if not all(type(n) is int and n >= 0 for n in numbers) or len(shape) > 32:
        raise ValueError(
            f"{path}: tensor {_short(name)} has a malformed header entry; {_REMEDY}"
        )
    if 0 in shape and math.prod(filter(None, shape)) >= 1 << 59:  # beyond NumPy
        raise ValueError(
            f"{path}: tensor {_short(name)} has a malformed header entry; {_REMEDY}"
        )
    if math.prod(shape) * _DTYPES[kind].itemsize != end - begin:
        raise ValueError(
            f"{path}: tensor {_short(name)} of shape {tuple(shape[:8])} and dtype "
            f"{kind} cannot take {end - begin} bytes; {_REMEDY}"
        )
    return _DTYPES[kind], tuple(shape), begin, end


def _check_layout(path, header: dict, size: int) -> None:
    """Check that the tensors cover `size` bytes of data, without gap or overlap."""
    position = 0
    for name, (_, _, begin, end) in sorted(header.items(), key=lambda e: e[1][2:]):
        if begin != position:
            raise ValueError(
                f"{path}: tensor {_short(name)} overlaps another or leaves a gap "
                f"before it; {_REMEDY}"
            )
        position = end
    if position != size:
        state = "truncated" if size < position else "longer than its header says"
        raise ValueError(
            f"{path}: the file is {state} (tensors take {position} bytes, it has "
            f"{size}); {_REMEDY}"
        )
