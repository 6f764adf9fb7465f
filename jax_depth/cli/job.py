"""One photo and its results."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo and the file of each format it becomes."""

    photo: Path
    results: Mapping[str, Path]


class OutputFolderError(Exception):
    """Nothing more can be written: one sentence that says why."""
