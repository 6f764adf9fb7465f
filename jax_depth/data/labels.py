"""Pseudo-labels that `jax-depth label` wrote: inverse depth or depth by a teacher.

    labels-00000-of-00004.jsonl     an object a label, then {"complete": true, ...}
    depth/NAME.png                  16 bits with their scale and offset in text chunks

A label has `name`, `depth` (relative path), `kind`, `sha256` (of the PNG), `width` and
`height`, and either `image` (path relative to the manifest) or `source` and `sample`:
a dataset, as `open_dataset` takes it, and the name of a sample in it.
"""

import functools
import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax_depth.data.dataset import Dataset
from jax_depth.data.sample import DatasetError, Sample, SampleError, labelled_sample
from jax_depth.formats.json_file import parse_own, refuse_pipe
from jax_depth.formats.png16 import read_png
from jax_depth.formats.rgb import read_rgb

MANIFEST = re.compile(r"labels-(\d{5})-of-(\d{5})\.jsonl$")
_FIELDS = ("name", "depth", "kind", "sha256")


class Labels(Dataset):
    """Pictures with a teacher's depth; every file is checked against its checksum.

    Args:
        root: the folder with all parts of the manifest, or one part.

    Raises:
        DatasetError: parts are missing, unfinished (the folder only) or damaged.
    """

    title = "labels"

    def __init__(self, root: Path | str):
        self.root = Path(root)
        if self.root.is_dir():
            self._rows, self._base = complete_rows(self.root), self.root
        elif self.root.is_file():
            self._rows, self._base = read_part(self.root)[0], self.root.parent
        else:
            what = "is a pipe or a device" if self.root.exists() else "does not exist"
            raise DatasetError(f"labels: {self.root} {what}; give a folder or a part")
        if not self._rows:
            raise DatasetError(f"{self.root} holds no labels")
        self.names = [row["name"] for row in self._rows]

    def _read(self, index: int) -> Sample:
        row = self._rows[index]
        path = self._base / row["depth"]
        refuse_pipe(path)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise SampleError(f"{path} does not have the checksum of its manifest")
        stored = read_png(io.BytesIO(data))
        stored_kind = stored.texts.get("kind")
        kind = row["kind"]
        if stored_kind != kind:
            raise SampleError(
                f"{path} holds {stored_kind}, but its manifest says {kind}"
            )
        unit = "m" if kind == "metric_depth" else None
        rgb = self._picture(row)
        return labelled_sample(rgb, stored.values, kind, unit, row["name"])

    def _picture(self, row: Mapping[str, Any]) -> Any:
        if "image" in row:
            return read_rgb(self._base / row["image"], upright=True)
        dataset, numbers = _source(row["source"])
        if row["sample"] not in numbers:
            raise SampleError(f"{row['source']} has no sample {row['sample']}")
        return dataset[numbers[row["sample"]]].rgb


def part_path(folder: Path, shard: int, count: int) -> Path:
    """Return the manifest of one part."""
    return folder / f"labels-{shard:05d}-of-{count:05d}.jsonl"


def complete_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the labels of all manifests of a folder.

    Raises:
        DatasetError: there are none, some are missing or unfinished, or they are of
            runs with different numbers of parts.
    """
    found = sorted(path for path in folder.iterdir() if MANIFEST.match(path.name))
    if not found:
        raise DatasetError(
            f"{folder} holds no labels: looked for labels-*-of-*.jsonl, which "
            "`jax-depth label` writes"
        )
    counts = {int(path.name[16:21]) for path in found}
    if len(counts) > 1:
        raise DatasetError(
            f"labels: {folder} holds parts of runs with different numbers of shards, "
            f"{sorted(counts)}; remove those of the older run"
        )
    count, rows = counts.pop(), []
    for shard in range(count):
        path = part_path(folder, shard, count)
        part, complete = read_part(path) if path in found else ([], False)
        rows += part
        if not complete:
            state = "unfinished" if path in found else "missing"
            raise DatasetError(
                f"labels: {path} is {state}; run `jax-depth label` with "
                f"--shard {shard}/{count} again, or give the finished manifests one "
                "by one"
            )
    return rows


def read_part(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """Return the labels of one manifest and whether it is finished.

    A last line that was cut short by a crash is left out.

    Raises:
        DatasetError: a line before it is not a label.
    """
    try:
        refuse_pipe(path)
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, ValueError) as error:  # UnicodeDecodeError among them
        raise DatasetError(f"labels: {path} cannot be read ({error})") from None
    rows, complete = [], False
    for number, line in enumerate(lines, 1):
        try:
            row = parse_own(line)
            if "complete" in row:
                complete = True
                continue
            _ = [row[field] for field in _FIELDS], row.get("image") or row["sample"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and isinstance(error, ValueError):
                break
            raise DatasetError(
                f"labels: line {number} of {path} is not a label ({error!r})"
            ) from None
        rows.append(row)
    return rows, complete


@functools.lru_cache(maxsize=8)
def _source(text: str) -> tuple[Dataset, dict[str, int]]:
    # Late, since the registry lists this module.
    from jax_depth.data.registry import open_dataset

    dataset = open_dataset(text)
    return dataset, {name: number for number, name in enumerate(dataset.names)}
