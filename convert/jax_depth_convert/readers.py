"""Weight files to NumPy, without torch: which format it is, and what it nests."""

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
    (b"\x89HDF", "an HDF5 file", "give a .pth or .safetensors file"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it first"),
    (b"{", "a JSON file", "give the weights beside it"),
)


def read(path: str | os.PathLike, *, nest: str | None = None) -> dict[str, np.ndarray]:
    """Return every tensor of a weight file as NumPy arrays; torch is not needed.

    Reads `.pth`, `.pt` and `.bin` (both of torch's formats), `.safetensors`, sharded
    checkpoints through their `.index.json`, and a directory that holds one of these
    under the hub's names. Nothing in a file is executed: from a pickle only data is
    read. The format is recognised by the content, not by the suffix.

    Weights inside a training script's checkpoint (`model`, `state_dict`,
    `model_ema`, ...) are taken out, whatever stands beside them. What wrappers put
    before every key is removed: DistributedDataParallel's `module.`, Lightning's
    `model.` and the like where a layout known here follows.

    Args:
        path: file or directory.
        nest: the entry of a checkpoint to take, such as "model_ema". None takes the
            weights there are, and says on stderr which where there are several.

    Returns:
        Key to array: read-only views of the mapped file, tensors that shared memory
        still do. bfloat16 arrays have dtype `ml_dtypes.bfloat16`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that is truncated, foreign, compressed or inconsistent,
            that asks for anything but data, or that holds no weights; one sentence
            says which and what to do.
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
    """Return the weight file of a directory in the hub's naming.

    Raises:
        FileNotFoundError: it holds none.
        ValueError: it is a checkpoint of torch.distributed.
    """
    for name in HUB_NAMES:
        if (directory / name).is_file():
            return directory / name
    if (directory / ".metadata").is_file():
        raise ValueError(
            f"{directory}: is a checkpoint of torch.distributed; make one file of it: "
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{directory} model.pth"
        )
    raise FileNotFoundError(
        f"{directory}: holds none of {', '.join(HUB_NAMES)}; give the weight file"
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
            raise ValueError(f"{path}: a safetensors file has no nests; leave nest out")
        state = read_safetensors(path)
        if not state:
            raise ValueError(f"{path}: holds no tensors; download it again")
        return state
    if pickled:
        saved = read_pth(path)
        return saved.arrays(find_weights(path, saved.content, nest))
    _refuse_foreign(path, text)
    if head[257:262] == b"ustar":
        raise ValueError(
            f"{path}: written by a torch older than 0.4 (a tar archive); load it with "
            "torch and save it again"
        )
    raise ValueError(
        f"{path}: not a PyTorch or safetensors file; give a .pth, .pt, .bin or "
        ".safetensors file"
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
        names_are_plain = all(map(_is_plain, shards))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{index}: not the index of a sharded checkpoint; download it again"
        ) from None
    if not shards:
        raise ValueError(f"{index}: names no files; download it again")
    if not names_are_plain:
        raise ValueError(
            f"{index}: names files outside its own directory, or something that is "
            "not a file name; download it again"
        )
    state: dict[str, np.ndarray] = {}
    for name in shards:
        shard = index.with_name(name)
        if not shard.is_file():
            raise FileNotFoundError(
                f"{shard}: missing, though {index.name} names it; download it too"
            )
        tensors = _read_file(shard)
        expected = {key for key, file in files.items() if file == name}
        if expected != set(tensors):
            key = min(expected ^ set(tensors))
            raise ValueError(
                f"{shard}: its tensors are not those that {index.name} lists "
                f"({shown(key)}); download both again"
            )
        state |= tensors
    return state
