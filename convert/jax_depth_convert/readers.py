"""Read weight files into NumPy arrays, without torch."""

import os
from pathlib import Path

import numpy as np

from jax_depth.formats.json_file import read_json, require_regular
from jax_depth.formats.safetensors import read_safetensors
from jax_depth_convert.nests import find_weights
from jax_depth_convert.pickle_values import shown
from jax_depth_convert.prefixes import strip_wrappers
from jax_depth_convert.pth_reader import read_pth

# In the order transformers looks for them.
HUB_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_FOREIGN = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the file with `git lfs pull`",
    ),
    (b"<", "a web page", "download the file itself, not the page about it"),
    (b"\x89HDF", "an HDF5 file", "only .pth and .safetensors files can be converted"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it first"),
    (b"{", "a JSON file", "give the weight file next to it"),
)


def read(path: str | os.PathLike, *, nest: str | None = None) -> dict[str, np.ndarray]:
    """Return every tensor of a weight file as NumPy arrays; torch is not needed.

    Reads `.pth`, `.pt`, `.bin` and `.ckpt` files (both formats of `torch.save`),
    `.safetensors`, sharded checkpoints through their `.index.json`, and a directory
    that contains one of these under its name on the Hub (`model.safetensors`,
    `pytorch_model.bin`). Nothing in a file is executed: from a pickle only data is
    read. The format is recognised by the content, not by the suffix.

    Weights nested in a training checkpoint (`model`, `state_dict`, `model_ema`, ...)
    are found, whatever else it contains. Prefixes that wrappers add to every key are
    removed: DistributedDataParallel's `module.`, Lightning's `model.` and any other
    common prefix, if the remaining keys belong to a known layout.

    Args:
        path: file or directory.
        nest: key in a training checkpoint under which the weights are, such as
            "model_ema". None uses the weights that are found; if there are several,
            stderr says which were used.

    Returns:
        A dict from key to array. Arrays are read-only views of the memory-mapped file;
        tensors that shared memory still share it. bfloat16 arrays have dtype
        `ml_dtypes.bfloat16`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that is truncated, compressed, inconsistent or in another
            format, that refers to anything but data, or that contains no weights. The
            message says what to do.
    """
    if not os.fspath(path):
        raise ValueError("the path is empty; give a weight file")
    path = Path(path)
    if path.is_dir():
        path = weights_in(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or directory")
    if path.name.endswith(".index.json"):
        return strip_wrappers(_read_shards(path))
    return strip_wrappers(_read_file(path, nest))


def weights_in(directory: Path) -> Path:
    """Return the weight file of a directory, by its usual name on the Hub.

    Raises:
        FileNotFoundError: it contains none.
        ValueError: it is a torch.distributed checkpoint.
    """
    for name in HUB_NAMES:
        if (directory / name).is_file():
            return directory / name
    if (directory / ".metadata").is_file():
        raise ValueError(
            f"{directory}: is a torch.distributed checkpoint; convert it to a single "
            "file: python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{directory} model.pth"
        )
    raise FileNotFoundError(
        f"{directory}: contains none of {', '.join(HUB_NAMES)}; give the weight file "
        "itself"
    )


def _read_file(path: Path, nest: str | None = None) -> dict[str, np.ndarray]:
    require_regular(path)
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise ValueError(f"{path}: the file is empty; download it again")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    length = int.from_bytes(head[:8], "little")
    # Before all else: the length may begin with the bytes of any other format.
    safetensors = head[8:9] == b"{" and length < 1 << 40
    pickled = not safetensors and (head[:2] == b"PK" or head[:1] == b"\x80")
    if safetensors or (path.suffix == ".safetensors" and not pickled):
        if not safetensors:
            _refuse_foreign(path, text)
        if nest is not None:
            raise ValueError(
                f"{path}: a safetensors file has no nested entries; leave out --nest "
                "(`nest=` in Python)"
            )
        state = read_safetensors(path)
        if not state:
            raise ValueError(f"{path}: contains no tensors; download or save it again")
        return state
    if pickled:
        saved = read_pth(path)
        return saved.arrays(find_weights(path, saved.content, nest))
    _refuse_foreign(path, text)
    if head[257:262] == b"ustar":
        raise ValueError(
            f"{path}: was written by torch older than 0.4 (a tar archive); load it "
            "with torch and save it again"
        )
    raise ValueError(
        f"{path}: is not a PyTorch or safetensors file; give one that torch.save or "
        "safetensors wrote"
    )


def _refuse_foreign(path: Path, text: bytes) -> None:
    for magic, what, remedy in _FOREIGN:
        if text.startswith(magic):
            raise ValueError(f"{path}: is {what}, not weights; {remedy}")


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file in the same folder, as tools write them."""
    return (
        Path(name).name == name
        and name not in ("", "..")
        and name.isprintable()
        and len(os.fsencode(name)) <= 255
    )


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    require_regular(index)
    try:
        files = read_json(index)["weight_map"]
        shards = sorted(set(files.values()))
        others = [name for name in shards if not _is_plain(name)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{index}: is not the index of a sharded checkpoint; download or save it "
            "again"
        ) from None
    if not shards:
        raise ValueError(f"{index}: lists no files; download or save it again")
    if others:
        raise ValueError(
            f"{index}: lists {shown(others[0])}, which is not the name of a file in "
            "its own folder; download or save it again"
        )
    state: dict[str, np.ndarray] = {}
    for name in shards:
        shard = index.with_name(name)
        if not shard.is_file():
            raise FileNotFoundError(
                f"{shard}: missing, although {index.name} lists it; download it too"
            )
        tensors = _read_file(shard)
        expected = {key for key, file in files.items() if file == name}
        if expected != set(tensors):
            key = min(expected ^ set(tensors))
            raise ValueError(
                f"{shard}: does not contain the tensors that {index.name} lists for it "
                f"({shown(key)}); download or save both again"
            )
        state |= tensors
    return state
