"""Pictures through a teacher into labels: what is done already, reading, writing."""

import collections
import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from array import array
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jax_depth import outputs
from jax_depth.cli.interrupt import remembered_interrupt
from jax_depth.cli.result_names import fitting
from jax_depth.cli.usage import UsageError
from jax_depth.data import packed as packed_files
from jax_depth.data.dataset import Dataset
from jax_depth.data.labels import MANIFEST, part_path, read_part
from jax_depth.data.registry import DATASETS, open_dataset
from jax_depth.data.sample import DatasetError, SampleError
from jax_depth.data.unlabelled import Unlabelled
from jax_depth.depth_map import DepthMap
from jax_depth.formats.address import local
from jax_depth.formats.atomic import atomic
from jax_depth.formats.printable import printable

_THREADS = 4


class Labelling:
    """One part of a labelling run, which may be interrupted any number of times.

    A label counts once its line is in the manifest, which is written after its file.

    Args:
        source: a folder of pictures, or a dataset as `open_dataset` takes it.
        outdir: where labels go; made if missing.
        shard: (number, count) of the part to do.
        packed: write picture and label into the files of `data.packed`.

    Attributes:
        total: samples of this part.
        labelled: how many of them have a label.
        failed: how many could not be read or computed in this run.
        todo: indices of the samples without a label.

    Raises:
        DatasetError: the source cannot be opened, or the manifest is damaged.
        UsageError: the folder holds labels of a run cut into another number of parts.
    """

    def __init__(
        self,
        source: str,
        outdir: Path,
        shard: tuple[int, int] = (0, 1),
        packed: bool = False,
    ):
        for place, what in ((source, "SOURCE"), (outdir, "--outdir")):
            try:
                local(place, what)
            except ValueError as error:
                raise UsageError(str(error)) from None
        self._dataset, self._text = _open(source)
        self._outdir, (number, count) = outdir, shard
        size = len(self._dataset)
        part = range(number * size // count, (number + 1) * size // count)
        self._rows, finished = [], False
        self._packer: packed_files.Packer | None = None
        if packed:
            self._packer = packed_files.Packer(outdir, part.stop)
            done = packed_files.segments_in(outdir)
            gaps = packed_files.gaps(done, size)
            self.todo = array("q", (i for gap in gaps for i in gap if i in part))
        else:
            _refuse_other_counts(outdir, count)
            self._manifest = part_path(outdir, number, count)
            if self._manifest.exists():
                self._rows, finished = read_part(self._manifest)
            self._rows = [r for r in self._rows if (outdir / r["depth"]).is_file()]
            names = {row["name"] for row in self._rows}
            todo = (i for i in part if not names or self._dataset.names[i] not in names)
            self.todo = array("q", todo)
        self.total, self.labelled, self.failed = len(part), len(part), 0
        self.labelled -= len(self.todo)
        self._failures: list[str] = []
        self._finished = finished and not self.todo
        self._bar: Any = None

    def run(self, estimator: Any, *, quiet: bool = False) -> None:
        """Label what is left.

        Args:
            estimator: whose `stream` computes, with `batch_size`, `config.name` and,
                if it has them, `size`, `resample`.
            quiet: show no progress bar.

        Raises:
            UsageError: the labels there were made by another teacher.
            OSError: a file cannot be written.
        """
        from tqdm import tqdm

        for sentence in getattr(self._dataset, "left_out", ()):
            self.say(sentence)
        teacher = _teacher(estimator)
        others = {row.get("teacher") for row in self._rows} - {teacher}
        if others:
            raise UsageError(
                f"the labels in {self._outdir} were made by {others.pop()}, this is "
                f"{teacher}; choose another folder with -o"
            )
        if self._packer is not None:
            about = {"source": self._text, "teacher": teacher}
            try:
                packed_files.begin(self._outdir, len(self._dataset), about)
            except DatasetError as error:
                raise UsageError(str(error)) from None
            opened: Any = contextlib.closing(self._packer)
        else:
            self._outdir.mkdir(parents=True, exist_ok=True)
            self._rewrite()
            opened = open(self._manifest, "a", encoding="utf-8")
        disable = True if quiet else None  # None: unless stderr is a terminal
        with (
            tqdm(total=len(self.todo), unit="photo", disable=disable) as self._bar,
            opened as manifest,
            ThreadPoolExecutor(_THREADS) as pool,
            contextlib.closing(estimator.stream(self.todo, read=self._read)) as maps,
            remembered_interrupt() as check,
        ):
            writing: collections.deque[Future[Any]] = collections.deque()
            try:
                for index, depth in maps:
                    if self._is_label(index, depth):
                        if self._packer is not None:
                            task = pool.submit(self._packed, index, depth)
                        else:
                            task = pool.submit(self._write, index, depth, teacher)
                        writing.append(task)
                    while len(writing) > 2 * estimator.batch_size:
                        self._record(manifest, writing.popleft())
                    check()
            finally:
                while writing:  # also when interrupted: nothing computed is lost
                    self._record(manifest, writing.popleft())
        self.finish()

    def finish(self) -> None:
        """Write the manifest's last line."""
        if self._finished or self._packer is not None:
            return
        last = {"complete": True, "labels": len(self._rows), "failed": self._failures}
        self._rewrite(json.dumps(last) + "\n")
        self._finished = True

    def say(self, sentence: str) -> None:
        """Print a line on stderr, above the bar."""
        write = self._bar.write if self._bar is not None else print
        write(printable(f"jax-depth: label: {sentence}"), file=sys.stderr)

    def _read(self, index: int) -> np.ndarray:
        if isinstance(self._dataset, Unlabelled):
            return self._dataset.picture(index)  # all its bits, as for `predict`
        return self._dataset[index].rgb

    def _is_label(self, index: int, depth: DepthMap | Exception) -> bool:
        """Whether there is a map to write; says why there is none."""
        if isinstance(depth, SampleError | ValueError | MemoryError):
            self._fail(index, str(depth))
            return False
        if isinstance(depth, Exception):
            raise depth
        if not np.isfinite(depth.values).all():
            self._fail(index, "the teacher's depth is not finite")
            return False
        return True

    def _write(self, index: int, depth: DepthMap, teacher: str) -> dict[str, Any]:
        """Write the file of a label and return its line."""
        name = self._dataset.names[index]
        # The whole name with a suffix more, since a.jpg and a.png may both be there.
        named = fitting(Path("depth", name))
        relative = named.with_name(f"{named.name}.png")
        path = self._outdir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        outputs.save(depth, path)
        height, width = depth.shape
        row = {
            "name": name,
            "depth": relative.as_posix(),
            "kind": depth.kind,
            "width": width,
            "height": height,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "teacher": teacher,
        }
        if isinstance(self._dataset, Unlabelled):
            return row | {
                "image": os.path.relpath(self._dataset.root / name, self._outdir)
            }
        return row | {"source": self._text, "sample": name}

    def _packed(self, index: int, depth: DepthMap) -> tuple[int, bytes]:
        """Return the number and the record of a label, picture included."""
        name = self._dataset.names[index]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "depth.png"
            outputs.save(depth, path)
            label = path.read_bytes()
        if isinstance(self._dataset, Unlabelled):
            picture = (self._dataset.root / name).read_bytes()
        else:
            buffer = io.BytesIO()
            Image.fromarray(self._dataset[index].rgb).save(buffer, "PNG")
            picture = buffer.getvalue()
        unit = "m" if depth.kind == "metric_depth" else None
        return index, packed_files.record(name, depth.kind, unit, picture, label)

    def _record(self, manifest: Any, task: Future[Any]) -> None:
        row = task.result()
        if self._packer is not None:
            self._packer.add(*row)
        else:
            self._rows.append(row)
            manifest.write(json.dumps(row) + "\n")
            manifest.flush()
        self.labelled += 1
        self._bar.update()

    def _fail(self, index: int, sentence: str) -> None:
        name = self._dataset.names[index]
        self.failed += 1
        self._failures.append(name)
        if self._packer is not None:
            self._packer.fail(index, sentence)
        self.say(sentence if name in sentence else f"{name}: {sentence}")
        self._bar.update()

    def _rewrite(self, last: str = "") -> None:
        """Replace the manifest by the labels there are: no line cut short is left."""
        self._outdir.mkdir(parents=True, exist_ok=True)
        with atomic(self._manifest) as path:
            lines = "".join(json.dumps(row) + "\n" for row in self._rows)
            path.write_text(lines + last, encoding="utf-8")


def _open(source: str) -> tuple[Dataset, str]:
    """Return a dataset and its text, with the path made independent of this folder."""
    name, colon, rest = source.partition(":")
    if name in DATASETS or (colon and not Path(source).exists()):
        path, question, options = rest.partition("?")
        absolute = f"{name}:{os.path.abspath(path)}{question}{options}"
        return open_dataset(source), absolute
    return Unlabelled(source), source


def _refuse_other_counts(outdir: Path, count: int) -> None:
    if not outdir.is_dir():
        return
    for path in outdir.iterdir():
        match = MANIFEST.match(path.name)
        if match and int(match[2]) != count:
            raise UsageError(
                f"{outdir} holds labels of a run in {int(match[2])} parts "
                f"({path.name}); continue with --shard I/{int(match[2])}, or choose "
                "another folder with -o"
            )


def _teacher(estimator: Any) -> str:
    """Return what decides the values: the model and how pictures reach it."""
    config = estimator.config
    parts = {"size": getattr(estimator, "size", None)}
    parts["resample"] = getattr(estimator, "resample", None)
    parts["dtype"] = getattr(config, "dtype", None)
    known = [f"{key}={value}" for key, value in parts.items() if value is not None]
    return " ".join([config.name, *known])
