"""The result of each picture, kept in files so that a stopped run can resume."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jax_depth.evaluation.benchmark import Judgement
from jax_depth.formats.json_file import parse_own

_HEADER = "settings"
# How version 0.1 brought maps back to size, which it did not write down.
_RESTORED = {"original": "aligned", "transformers": "bicubic"}


class Records:
    """The results of one evaluation, one JSON line each, from one or more processes.

    A process appends to a file of its own and reads those of all, so processes that
    share a folder share the work and any of them can sum up.

    Args:
        folder: of the evaluation; exists.
        settings: all that decides the numbers, ready for JSON.
        process: number of this process.

    Raises:
        ValueError: the folder holds records of other settings; the message names the
            first that differs.
        OSError: a file cannot be read or written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], process: int = 0):
        self._folder = folder
        self._settings = json.loads(json.dumps(settings))
        self._path = folder / f"records-{process:04d}.jsonl"
        _drop_broken_tail(self._path)
        if not self._path.exists():
            self.judged()  # refuses before the first line is written
            self._append({_HEADER: self._settings})

    def add(self, index: int, name: str, judgement: Judgement) -> None:
        """Store a picture's result on disk before returning."""
        self._append({"index": index, "name": name, **judgement})

    def skip(self, index: int, name: str, reason: str) -> None:
        """Store why a picture was skipped."""
        self._append({"index": index, "name": name, "skipped": reason})

    def judged(self) -> dict[int, dict[str, Any]]:
        """Return all lines by the picture's number, those of every process, in order.

        Raises:
            ValueError: as above.
        """
        found: dict[int, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("records-*.jsonl")):
            for line in _lines(path):
                if _HEADER in line:
                    self._check(path, line[_HEADER])
                else:
                    found[line["index"]] = line
        return dict(sorted(found.items()))

    def _check(self, path: Path, settings: dict[str, Any]) -> None:
        if settings.get("resample") in _RESTORED:
            settings = {"restore": _RESTORED[settings["resample"]], **settings}
        names = sorted({*settings, *self._settings})
        for name in names:
            old, new = settings.get(name), self._settings.get(name)
            if old != new:
                raise ValueError(
                    f"{path} holds results of another evaluation, with {name} {old!r} "
                    f"where this one has {new!r}; give another folder with -o, or "
                    "delete that file"
                )

    def _append(self, line: dict[str, Any]) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):  # another process may be in the middle of its last
                yield parse_own(line)


def _drop_broken_tail(path: Path) -> None:
    """Cut off a line that a killed run left unfinished."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole == 0:
        path.unlink()
    elif whole < len(data):
        os.truncate(path, whole)
