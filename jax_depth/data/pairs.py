"""Your own pairs of pictures and depth: a manifest, or two folders.

A manifest is CSV with a header, or JSONL, with one pair a line:

    image,depth                              and, as wanted:  mask, name, fx, fy, cx, cy
    photos/a.jpg,lidar/a.png

Paths are relative to the manifest. A mask is a picture: 0 is invalid. Two folders are
`images/` and `depth/` with files of the same name but for the suffix.

What the numbers mean has to be stated, since it cannot be guessed: by columns of the
manifest, by `pairs.json` in the folder (an object with the same keys), or by options:

    kind      metric_depth, depth (no unit) or inverse_depth
    unit      m, cm, mm, km or in of metric_depth; 1/m or none of inverse_depth
    scale     what the stored number is multiplied with to be in that unit (1)
    offset    what is added to the stored number before that (0): Middlebury's doffs
    invalid   stored numbers that mean "unknown", separated by spaces, as in "0 65535"

Depth files that carry their own scale (16-bit PNG written by jax_depth) have a kind
already and take no scale.
"""

import csv
import dataclasses
import difflib
import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from jax_depth.data.dataset import Dataset, chosen, folder
from jax_depth.data.sample import (
    DatasetError,
    Intrinsics,
    Kind,
    Sample,
    SampleError,
    labelled_sample,
)
from jax_depth.formats.folders import photo_names
from jax_depth.formats.json_file import parse_json, read_json, require_regular
from jax_depth.formats.maps import MAP_SUFFIXES, METRES, read_map
from jax_depth.formats.rgb import read_rgb

_MEANING = ("kind", "unit", "scale", "offset", "invalid")
_CAMERA = ("fx", "fy", "cx", "cy")
# Median depth in metres outside which a unit is taken for wrong: nobody photographs
# closer than a finger's width or farther than a mountain range.
_PLAUSIBLE = (0.01, 20000.0)


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What stored numbers are.

    Attributes:
        kind: of the depth.
        unit: as the user states it; None without one.
        scale: (stored number + offset) * scale is in `unit`.
        offset: see `scale`.
        invalid: stored numbers that mean "unknown".
    """

    kind: Kind
    unit: str | None
    scale: float
    offset: float
    invalid: tuple[float, ...]


class Pairs(Dataset):
    """Depth of one's own.

    Args:
        root: a manifest (`.csv`, `.jsonl`), or a folder with `images` and `depth`.
        kind, unit, scale, offset, invalid: what the numbers mean, where the files do
            not say; a manifest's own columns take precedence.

    Attributes:
        ignored: columns or keys of a manifest that mean nothing here, such as `split`.

    Raises:
        DatasetError: nothing is found, a line of the manifest is wrong, or nothing
            says what the numbers mean.
    """

    title = "pairs"

    def __init__(self, root: Path | str, **meaning: Any):
        self.root = Path(root)
        for key in meaning:
            chosen(self.title, "option", key, _MEANING)
        if self.root.is_dir():
            rows, stated = _from_folders(self.root)
            self.ignored: tuple[str, ...] = ()
            self._base = self.root
        else:
            rows, self.ignored = _from_manifest(self.root)
            stated = {}
            self._base = self.root.parent
        if not rows:
            raise DatasetError(f"{self.root} holds no pairs")
        stated = {**stated, **meaning}
        self._rows = rows
        self._meanings = [
            _meaning(self.root, number, {**stated, **row})
            for number, row in enumerate(rows, 1)
        ]
        self.names = _unique([str(row.get("name") or row["image"]) for row in rows])

    def _read(self, index: int) -> Sample:
        row, meaning = self._rows[index], self._meanings[index]
        rgb = read_rgb(self._base / row["image"], upright=True)
        file = read_map(self._base / row["depth"])
        stored, own_kind = file.values, file.texts.get("kind")
        valid = np.isfinite(stored)
        if "mask" in row:
            mask = read_rgb(self._base / row["mask"])[:, :, 0] > 0
            if mask.shape != valid.shape:
                raise SampleError(f"its mask is {mask.shape}, its depth {valid.shape}")
            valid &= mask
        plain = meaning.scale == 1 and not meaning.offset
        if own_kind is not None and (own_kind != meaning.kind or not plain):
            raise SampleError(
                f"{row['depth']} says it holds {own_kind} with a scale of its own, but "
                f"it was declared {meaning.kind} with scale {meaning.scale:g} and "
                f"offset {meaning.offset:g}"
            )
        for number in meaning.invalid:
            valid &= stored != number
        factor = meaning.scale * METRES.get(meaning.unit or "", 1.0)
        if stored.dtype == np.uint16:
            values = _of_pixels(meaning.offset, factor)[stored]
        else:
            known = np.where(valid, stored, 0).astype(np.float64)
            values = (known + meaning.offset) * factor
        unit = "m" if meaning.kind == "metric_depth" else meaning.unit
        known = all(key in row for key in _CAMERA)
        camera = [float(row[key]) for key in _CAMERA] if known else None
        sample = labelled_sample(
            rgb,
            values,
            meaning.kind,
            unit,
            self.names[index],
            valid=valid,
            intrinsics=Intrinsics(*camera) if camera else None,
        )
        _check_unit(sample, meaning)
        return sample


@functools.lru_cache(maxsize=8)
def _of_pixels(offset: float, factor: float) -> np.ndarray:
    """Return the values of all pixels of 16 bits, a tenth of the time of computing."""
    pixels = np.arange(1 << 16, dtype=np.float64)
    return ((pixels + offset) * factor).astype(np.float32)


def _check_unit(sample: Sample, meaning: Meaning) -> None:
    """Refuse metric depth that no camera can see."""
    if sample.kind != "metric_depth" or sample.target is None or sample.mask is None:
        return
    low, high = _PLAUSIBLE
    known = int(np.count_nonzero(sample.mask))
    # Outside the mask is 0. Where fewer than half are too small or too large the median
    # is neither, and to find it takes longer than to decode the file.
    below = int(np.count_nonzero(sample.target < low)) - (sample.mask.size - known)
    if 2 * below < known and 2 * int(np.count_nonzero(sample.target > high)) < known:
        return
    median = float(np.median(sample.target[sample.mask]))
    if not _PLAUSIBLE[0] <= median <= _PLAUSIBLE[1]:
        raise SampleError(
            f"its median depth is {median:g} m: check unit={meaning.unit} and "
            f"scale={meaning.scale:g}"
        )


def _from_manifest(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the rows of a manifest, and the keys in it that mean nothing."""
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    if path.suffix.lower() not in readers:
        raise DatasetError(
            f"pairs: {path} is neither a folder nor a .csv or .jsonl manifest"
        )
    try:
        require_regular(path)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"pairs: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"pairs: {path} is not a text file in UTF-8") from None
    except ValueError as error:  # a pipe
        raise DatasetError(f"pairs: {error}") from None
    rows = readers[path.suffix.lower()](path, text)
    for number, row in enumerate(rows, 1):
        for key in ("image", "depth"):
            if not isinstance(row.get(key), str):
                raise DatasetError(f"pairs: entry {number} of {path} has no {key}")
        if not isinstance(row.get("mask", ""), str):
            raise DatasetError(
                f"pairs: entry {number} of {path} has mask={row['mask']!r}, which is "
                "not the path of a picture"
            )
        for key in _CAMERA:
            if key in row and not _finite(row[key]):
                raise DatasetError(
                    f"pairs: entry {number} of {path} has {key}={row[key]!r}, which is "
                    "not a number of pixels"
                )
    ignored = dict.fromkeys(k for row in rows for k in row if k not in _KNOWN)
    for key in ignored:
        # A typing error would change what the numbers mean.
        near = difflib.get_close_matches(key, _MEANING, n=1, cutoff=0.65)
        if near:
            raise DatasetError(
                f"pairs: {path} has the unknown key {key!r}; did you mean {near[0]!r}? "
                f"Known: {', '.join(_KNOWN)}"
            )
    known = [{k: v for k, v in row.items() if k in _KNOWN} for row in rows]
    return known, tuple(ignored)


def _finite(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError, OverflowError):
        return False


_KNOWN = ("image", "depth", "mask", "name", *_CAMERA, *_MEANING)


def _csv_rows(path: Path, text: str) -> list[dict[str, Any]]:
    # With the ends of lines, which a quoted name may hold.
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise DatasetError(f"pairs: line 1 of {path} is not CSV ({error})") from None
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DatasetError(
            f"pairs: line 1 of {path} names the column {twice[:100]!r} twice"
        )
    if text.strip() and not {"image", "depth"} & set(header):
        first = text.strip().splitlines()[0]
        fields = {";": first.split(";"), "\t": first.split("\t")}
        apart = [s for s, f in fields.items() if {"image", "depth"} <= set(f)]
        reason = "no header with the columns image and depth"
        if apart:
            reason = f"columns separated by {apart[0]!r}, not by commas"
        raise DatasetError(
            f"pairs: {path} begins with {first[:80]!r}: {reason}; its first line must "
            "be image,depth and any further columns"
        )
    rows = []
    while True:
        try:
            if (row := next(reader, None)) is None:
                break
        except csv.Error as error:  # a field of more than 128 KiB
            raise DatasetError(
                f"pairs: line {reader.line_num} of {path} is not CSV ({error})"
            ) from None
        if None in row or None in row.values():
            raise DatasetError(
                f"pairs: line {reader.line_num} of {path} does not have the "
                f"{len(reader.fieldnames or ())} fields of the header"
            )
        rows.append({key.strip(): v.strip() for key, v in row.items() if v.strip()})
    return rows


def _jsonl_rows(path: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    # Not `splitlines`: names may hold what Unicode takes for ends of lines.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DatasetError(
                f"pairs: line {number} of {path} is not JSON ({error}); it may be cut "
                "short"
            ) from None
        if not isinstance(row, dict):
            raise DatasetError(f"pairs: line {number} of {path} is not a JSON object")
        rows.append({key: value for key, value in row.items() if value is not None})
    return rows


def _from_folders(root: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    images, depth = folder("pairs", root / "images"), folder("pairs", root / "depth")
    found = {
        path.relative_to(depth).with_suffix("").as_posix(): path
        for path in sorted(depth.rglob("*"))
        if path.suffix.lower() in MAP_SUFFIXES and not path.name.startswith(".")
    }
    rows = []
    for name in photo_names(images)[0]:
        path = found.pop(Path(name).with_suffix("").as_posix(), None)
        if path is None:
            raise DatasetError(
                f"pairs: {images / name} has no depth: looked for {depth}/"
                f"{Path(name).with_suffix('')} with any of {' '.join(MAP_SUFFIXES)}"
            )
        image = (images / name).relative_to(root).as_posix()
        depth_path = path.relative_to(root).as_posix()
        rows.append({"image": image, "depth": depth_path, "name": name})
    if found:
        raise DatasetError(
            f"pairs: {len(found)} depth maps have no picture in {images}, the first: "
            f"{next(iter(found.values()))}"
        )
    statement = root / "pairs.json"
    if not statement.is_file():
        return rows, {}
    try:
        stated = read_json(statement)
    except ValueError as error:
        raise DatasetError(f"pairs: {statement} is not JSON ({error})") from None
    if not isinstance(stated, dict) or not set(stated) <= set(_MEANING):
        raise DatasetError(
            f"pairs: {statement} must be an object with the keys {', '.join(_MEANING)}"
        )
    return rows, stated


def _meaning(root: Path, number: int, stated: Mapping[str, Any]) -> Meaning:
    """Return what the numbers of one pair mean.

    Raises:
        DatasetError: it is not stated, or stated wrongly.
    """
    where = f"pairs: entry {number} of {root}"
    kinds = get_args(Kind)
    kind = str(stated.get("kind"))
    if kind not in kinds:
        problem = (
            "does not say its kind" if kind == "None" else f"has the kind {kind!r}"
        )
        raise DatasetError(f"{where} {problem}; give kind=, one of {', '.join(kinds)}")
    units = {"metric_depth": [*METRES], "depth": [], "inverse_depth": ["1/m", "none"]}
    unit = stated.get("unit")
    if units[kind] and unit not in units[kind]:
        problem = "does not say its unit" if unit is None else f"has the unit {unit!r}"
        raise DatasetError(
            f"{where} {problem}; {kind} needs unit=, one of {', '.join(units[kind])}"
        )
    if not units[kind] and unit not in (None, "none"):
        raise DatasetError(f"{where} has the unit {unit!r}, but {kind} has none")
    try:
        scale = float(stated.get("scale", 1.0))
        offset = float(stated.get("offset", 0.0))
        invalid = stated.get("invalid", ())
        words = invalid.split() if isinstance(invalid, str) else np.atleast_1d(invalid)
        numbers = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        scale, offset, numbers = 0.0, 0.0, ()
    if not (0 < scale < np.inf and np.isfinite(offset)):
        raise DatasetError(
            f"{where}: scale={stated.get('scale')!r} must be a number above 0, offset="
            f"{stated.get('offset')!r} a number, and "
            f"invalid={stated.get('invalid')!r} numbers separated by spaces"
        )
    plain = None if unit == "none" else unit
    return Meaning(cast(Kind, kind), plain, scale, offset, numbers)


def _unique(names: list[str]) -> list[str]:
    """Return the names, repeated ones with a number appended."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[position] = f"{name}#{seen[name]}"
    return names
