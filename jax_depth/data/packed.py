"""Pictures with depth in a few large files that Grain reads in any order: ArrayRecord.

    packed.json                                   {"rows": samples there were, ...}
    packed-000000000-000004096-4090.array_record  of samples 0 to 4095, 4090 records

File names say which samples they hold, so that opening millions of samples
lists a folder and reads nothing; a file is opened when a sample of it is wanted. A file
has its name only when it is complete. Samples that could not be read are missing in
the third number, and listed in `packed-….failed.txt`.

A record is the length of a JSON object (four bytes, little-endian), that object, the
picture (JPEG or PNG) and the depth: a 16-bit PNG with its scale in text chunks, as
`jax-depth predict` writes it, or a compressed float32 `.npy` with NaN where nothing is
known.
"""

import bisect
import dataclasses
import io
import itertools
import json
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jax_depth.data.dataset import Dataset, folder
from jax_depth.data.sample import DatasetError, Sample, SampleError, labelled_sample
from jax_depth.formats.address import local
from jax_depth.formats.atomic import atomic
from jax_depth.formats.json_file import parse_own, refuse_pipe
from jax_depth.formats.png16 import read_png
from jax_depth.formats.rgb import read_rgb

MANIFEST = "packed.json"
ROWS_PER_FILE = 4096
_NAME = re.compile(r"packed-(\d{9})-(\d{9})-(\d+)\.array_record$")
_LENGTH = struct.Struct("<I")


class Packed(Dataset):
    """Samples in ArrayRecord files.

    Args:
        root: the folder.

    Raises:
        DatasetError: there are none, or samples are missing between or after them.
    """

    title = "packed"

    def __init__(self, root: Path | str):
        self.root = folder(self.title, root)
        segments = segments_in(self.root)
        if not segments:
            raise DatasetError(
                f"{self.root} holds no packed samples: looked for "
                "packed-*.array_record, which `jax-depth label --packed` writes"
            )
        if gap := next(iter(missing(self.root, segments)), None):
            raise DatasetError(
                f"packed: {self.root} is unfinished: samples {gap.start} to "
                f"{gap.stop - 1} are missing; run the same command again"
            )
        self._segments = [s for s in segments if s.count]
        self.names = _Numbers(sum(s.count for s in self._segments))
        self._source = _source(self._segments) if self._segments else None

    def _read(self, index: int) -> Sample:
        assert self._source is not None
        try:
            record = self._source[index]
        except (RuntimeError, ValueError) as error:  # of its C++ reader
            raise SampleError(f"{self._file(index)} is damaged ({error})") from None
        return decode(record)

    def _file(self, index: int) -> Path:
        ends = list(itertools.accumulate(s.count for s in self._segments))
        return self._segments[bisect.bisect_right(ends, index)].path


@dataclasses.dataclass(frozen=True)
class Segment:
    """A file and what is in it.

    Attributes:
        path: of the file.
        start, stop: numbers of the samples it was made of.
        count: records.
    """

    path: Path
    start: int
    stop: int
    count: int


class Packer:
    """Writes records in the order of their samples; each file appears when it is full.

    Args:
        root: the folder; made if missing.
        stop: number after the last sample of this writer's part.
        rows: samples of a file.
    """

    def __init__(self, root: Path, stop: int, rows: int = ROWS_PER_FILE):
        self.root, self._stop, self._rows = root, stop, rows
        self._start = self._next = self._end = 0
        self._count = 0
        self._failed: dict[int, str] = {}
        self._writer: Any = None
        self._temporary = root

    def add(self, number: int, record: bytes) -> None:
        """Write the record of a sample; samples come in the order of their numbers."""
        if self._writer is not None:
            between = range(self._next, min(number, self._end))
            # A resumed run may find finished samples between those it has to do.
            if number >= self._end or not all(n in self._failed for n in between):
                self._complete()
        if self._writer is None:
            self._begin(number)
        writer: Any = self._writer
        writer.write(record)
        self._count += 1
        self._next = number + 1

    def fail(self, number: int, reason: str) -> None:
        """Note why a sample has no record, at any time before `close`."""
        self._failed[number] = reason

    def close(self) -> None:
        """Complete the file under way, and one for each of the rest that failed."""
        self._complete()
        while self._failed:
            number = min(self._failed)
            self._begin(number)
            self._complete()

    def _complete(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        while self._next < self._end and self._next in self._failed:
            self._next += 1
        numbers = [n for n in sorted(self._failed) if self._start <= n < self._next]
        failed = [self._failed.pop(n) for n in numbers]
        stem = f"packed-{self._start:09d}-{self._next:09d}-{self._count}"
        if failed:
            with atomic(self.root / f"{stem}.failed.txt") as path:
                path.write_text("\n".join(failed) + "\n", encoding="utf-8")
        self._temporary.replace(self.root / f"{stem}.array_record")

    def _begin(self, number: int) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        first = number // self._rows * self._rows
        self._start, self._count, self._next = number, 0, number
        while self._start > first and self._start - 1 in self._failed:
            self._start -= 1
        # Files of several writers, and of a resumed one, end at the same numbers.
        self._end = min((number // self._rows + 1) * self._rows, self._stop)
        self._temporary = self.root / f".packing-{number:09d}"
        # What is in them is compressed already, and read one at a time.
        self._writer = ArrayRecordWriter(
            str(self._temporary), "group_size:1,uncompressed"
        )


def pack(dataset: Dataset, root: Path | str, rows: int = ROWS_PER_FILE) -> int:
    """Write a dataset with depth into a folder; return the number of its records.

    The same call resumes where another ended.

    Args:
        dataset: to copy; what of it cannot be read is left out and listed.
        root: the folder; made if missing.
        rows: samples of a file.
    """
    root = Path(root)
    begin(root, len(dataset), {"source": dataset.text or repr(dataset)})
    packer = Packer(root, len(dataset), rows)
    try:
        for number in itertools.chain.from_iterable(missing(root)):
            try:
                packer.add(number, encode(dataset[number]))
            except SampleError as error:
                packer.fail(number, str(error))
    finally:
        packer.close()
    return sum(segment.count for segment in segments_in(root))


def begin(root: Path, rows: int, more: dict[str, Any]) -> None:
    """Make a folder and write down what it will hold.

    Raises:
        DatasetError: it holds something else, or array_record is not installed.
    """
    require_array_record()
    local(root).mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": rows} | more, indent=2) + "\n"
    file = root / MANIFEST
    if file.exists():
        if (before := file.read_text(encoding="utf-8")) != text:
            old, new = parse_own(before), parse_own(text)
            key = next(k for k in {**old, **new} if old.get(k) != new.get(k))
            raise DatasetError(
                f"packed: {root} is of {key}={old.get(key)!r}, not {new.get(key)!r}; "
                "choose another folder"
            )
        return
    with atomic(file) as path:
        path.write_text(text, encoding="utf-8")


def require_array_record() -> None:
    """Raise a DatasetError where the package that reads and writes is missing."""
    try:
        import array_record  # noqa: F401
    except ImportError:
        raise DatasetError(
            "packed samples need array_record, which comes with Grain: "
            "pip install 'jax_depth[train]'"
        ) from None


def segments_in(root: Path) -> list[Segment]:
    """Return the complete files of a folder in the order of their samples."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        if match := _NAME.match(path.name):
            found.append(Segment(path, *map(int, match.groups())))
    return sorted(found, key=lambda segment: segment.start)


def missing(root: Path, segments: Sequence[Segment] | None = None) -> list[range]:
    """Return the numbers of samples that are in no file of a folder.

    Raises:
        DatasetError: the folder does not say how many there are to be.
    """
    try:
        refuse_pipe(root / MANIFEST)
        rows = int(parse_own((root / MANIFEST).read_text(encoding="utf-8"))["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(
            f"packed: {root / MANIFEST} is missing or damaged; it says how many "
            "samples there are"
        ) from None
    return gaps(segments_in(root) if segments is None else segments, rows)


def gaps(segments: Sequence[Segment], rows: int) -> list[range]:
    """Return the numbers below `rows` that no file was made of."""
    found, last = [], 0
    for segment in segments:
        if segment.start > last:
            found.append(range(last, segment.start))
        last = max(last, segment.stop)
    return [*found, range(last, rows)] if last < rows else found


def encode(sample: Sample) -> bytes:
    """Return the record of a sample with depth: nothing is lost but unknown pixels."""
    assert sample.target is not None and sample.mask is not None
    values = np.where(sample.mask, sample.target, np.float32(np.nan))
    buffer, picture = io.BytesIO(), io.BytesIO()
    np.save(buffer, values)
    Image.fromarray(sample.rgb).save(picture, "PNG")
    depth = zlib.compress(buffer.getvalue(), 1)
    return record(
        sample.name, sample.kind, sample.unit, picture.getvalue(), depth, "npy"
    )


def record(
    name: str,
    kind: str | None,
    unit: str | None,
    picture: bytes,
    depth: bytes,
    form: str = "png",
) -> bytes:
    """Return the bytes of a record.

    Args:
        name, kind, unit: see `Sample`.
        picture: a file that Pillow reads, upright.
        depth: a 16-bit PNG with its scale, or a compressed `.npy`.
        form: which of the two, "png" or "npy".
    """
    head = {"name": name, "kind": kind, "unit": unit, "form": form}
    head |= {"picture": len(picture), "crc": zlib.crc32(picture + depth)}
    text = json.dumps(head).encode()
    return _LENGTH.pack(len(text)) + text + picture + depth


def decode(data: bytes) -> Sample:
    """Return the sample in a record.

    Raises:
        SampleError: it is damaged.
    """
    try:
        (length,) = _LENGTH.unpack(data[:4])
        head = parse_own(data[4 : 4 + length])
        body = data[4 + length :]
        picture, depth = body[: head["picture"]], body[head["picture"] :]
        if zlib.crc32(body) != head["crc"]:
            raise ValueError("its checksum differs")
        if head["form"] == "png":
            values = read_png(io.BytesIO(depth)).values
        else:
            values = np.load(io.BytesIO(zlib.decompress(depth)), allow_pickle=False)
        rgb = read_rgb(io.BytesIO(picture), upright=True)
    except (struct.error, KeyError, TypeError, ValueError, zlib.error) as error:
        raise SampleError(f"a record is damaged ({error})") from None
    return labelled_sample(rgb, values, head["kind"], head["unit"], head["name"])


class _Numbers(Sequence[str]):
    """Names by number: those in the records would have to be read."""

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return f"{index % self._count:09d}"


@dataclasses.dataclass(frozen=True)
class _Instruction:
    """What array_record needs to know about a file, without opening it."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


def _source(segments: Iterable[Segment]) -> Any:
    require_array_record()
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    files: Any = [_Instruction(str(s.path), 0, s.count, s.count) for s in segments]
    return ArrayRecordDataSource(files)
