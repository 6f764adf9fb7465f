"""One photo and its results."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo and the file of each format it becomes.

    Attributes:
        photo: what it is called.
        results: format -> file.
        file: where its bytes are, if that is not what it is called.
    """

    photo: Path
    results: Mapping[str, Path]
    file: Path | None = None


class OutputFolderError(Exception):
    """Nothing more can be written; the message says why."""
