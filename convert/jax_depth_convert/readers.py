"""Weight files to NumPy, without torch: which format it is, and what it nests."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth.formats.safetensors import read_safetensors
from jax_depth_convert.pth_reader import read_pth
from jax_depth_convert.state_dicts import strip_wrappers

# In the order transformers looks for them.
HUB_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Where training scripts put the weights beside an optimiser's state.
_NESTS = ("state_dict", "model", "model_state_dict")

_MAX_NESTING = 4

_FOREIGN = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the file with `git lfs pull`",
    ),
    (b"<", "a web page", "download the file itself, not the page about it"),
    (b"\x89HDF", "an HDF5 file", "give a .pth or .safetensors file"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it first"),
    (b"{", "a JSON file", "give the weights beside it"),
)


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return every tensor of a weight file as NumPy arrays; torch is not needed.

    Reads `.pth`, `.pt` and `.bin` (both of torch's formats), `.safetensors`, sharded
    checkpoints through their `.index.json`, and a directory that holds one of these
    under the hub's names. Nothing in a file is executed: a pickle may name only what
    tensors are made of. The format is told by the content, not by the suffix.

    Args:
        path: file or directory.

    Returns:
        Key to array: read-only views of the mapped file, tensors that shared memory
        still do. bfloat16 arrays have dtype `ml_dtypes.bfloat16`. A nested
        `state_dict` or `model` is unwrapped and a `module.` before every key removed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that is truncated, foreign, compressed, inconsistent or
            that names anything but tensors; one sentence says which and what to do.
    """
    path = Path(path)
    if path.is_dir():
        path = weights_in(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or directory")
    if path.name.endswith(".index.json"):
        return strip_wrappers(_read_shards(path))
    return strip_wrappers(_unwrap(path, _read_file(path)))


def weights_in(directory: Path) -> Path:
    """Return the weight file of a directory in the hub's naming."""
    for name in HUB_NAMES:
        if (directory / name).is_file():
            return directory / name
    raise FileNotFoundError(
        f"{directory}: holds none of {', '.join(HUB_NAMES)}; give the weight file"
    )


def _read_file(path: Path) -> Mapping[Any, Any]:
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise ValueError(f"{path}: the file is empty; download it again")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    length = int.from_bytes(head[:8], "little")
    if path.suffix == ".safetensors" or (head[8:9] == b"{" and length < 1 << 40):
        _refuse_foreign(path, text)
        return read_safetensors(path)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        return read_pth(path)
    _refuse_foreign(path, text)
    if head[257:262] == b"ustar":
        raise ValueError(
            f"{path}: written by a torch older than 0.4 (a tar archive); load and save "
            "it with torch once"
        )
    raise ValueError(
        f"{path}: not a PyTorch or safetensors file; give a .pth, .pt, .bin or "
        ".safetensors file"
    )


def _refuse_foreign(path: Path, text: bytes) -> None:
    for magic, what, remedy in _FOREIGN:
        if text.startswith(magic):
            raise ValueError(f"{path}: is {what}, not weights; {remedy}")


def _unwrap(path: Path, content: Any) -> dict[str, np.ndarray]:
    """Return the one mapping of tensors inside what a training script saved."""
    # A pickle can contain itself, so only so deep.
    for _ in range(_MAX_NESTING):
        if isinstance(content, np.ndarray):
            raise ValueError(f"{path}: holds a single tensor; give a state dict")
        if not isinstance(content, Mapping):
            raise ValueError(
                f"{path}: holds a {type(content).__name__}, not a state dict; save "
                "model.state_dict()"
            )
        if any(isinstance(value, np.ndarray) for value in content.values()):
            break
        nests = [name for name in _NESTS if isinstance(content.get(name), Mapping)]
        if len(nests) != 1:
            keys = ", ".join(repr(key) for key in list(content)[:5]) or "nothing"
            reason = "more than one state dict" if nests else "no tensors"
            raise ValueError(
                f"{path}: holds {reason} (top level: {keys}); save one "
                "model.state_dict()"
            )
        content = content[nests[0]]
    else:
        raise ValueError(f"{path}: nested too deep; save one model.state_dict()")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, np.ndarray):
            raise ValueError(
                f"{path}: {key!r} beside the tensors is a {type(value).__name__}; save "
                "model.state_dict() alone"
            )
    return dict(content)


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(files.values()))
        names_are_plain = all(Path(name).name == name for name in shards)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(
            f"{index}: not the index of a sharded checkpoint; download it again"
        ) from None
    if not names_are_plain:
        raise ValueError(f"{index}: names files outside its own directory")
    state: dict[str, np.ndarray] = {}
    for name in shards:
        shard = index.with_name(name)
        if not shard.is_file():
            raise FileNotFoundError(
                f"{shard}: missing, though {index.name} names it; download it too"
            )
        tensors = _unwrap(shard, _read_file(shard))
        expected = {key for key, file in files.items() if file == name}
        if expected != set(tensors):
            key = min(expected ^ set(tensors))
            raise ValueError(
                f"{shard}: its tensors are not those that {index.name} lists "
                f"({key!r}); download both again"
            )
        state |= tensors
    return state
