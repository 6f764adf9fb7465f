"""A dataset: a finite sequence of samples, read one at a time."""

import abc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from jax_depth.data.sample import DatasetError, Sample, SampleError
from jax_depth.formats.stored import DAMAGED

T = TypeVar("T")


class Dataset(abc.ABC):
    """Random access to samples; reading leaves no state behind, so threads may share.

    Opening one lists its files without reading any picture.

    Attributes:
        title: the name of the format, as in the registry.
        root: the folder or file it was opened from.
        text: what `open_dataset` was given, options and all; None without it.
        names: of its samples, in order: unique, stable, sorted where the format has no
            order of its own.
    """

    title: ClassVar[str]
    root: Path
    text: str | None = None
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: there is none of that number.
            SampleError: its files are missing, damaged, contradict each other or hold
                no valid depth; the message names it.
        """
        return self._read_with(self._read, index)

    def _read_with(self, read: Callable[[int], T], index: int) -> T:
        """Return what `read` gives of a sample, raising as `__getitem__`."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r} has no sample {index}")
        try:
            return read(index)
        except MemoryError:
            raise
        except DAMAGED as error:
            reason = _reason(error)
            where = f"{self.title} sample {self.names[index]}"
            raise SampleError(f"{where}: {reason}") from error

    def __iter__(self) -> Iterator[Sample]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        # Stable from run to run: Grain compares it.
        return f"{self.title}:{self.root} ({len(self)} samples)"

    @abc.abstractmethod
    def _read(self, index: int) -> Sample:
        """Read a sample, raising whatever the libraries raise."""


def listed(
    title: str, root: Path | str, patterns: Sequence[str], hint: str = ""
) -> list[Path]:
    """Return the files under `root` that match any pattern, sorted, none hidden.

    Args:
        title: the format, for messages.
        root: a folder.
        patterns: globs relative to it.
        hint: what the message should add.

    Raises:
        DatasetError: `root` is not a folder, or nothing matches.
    """
    root = folder(title, root)
    found = {path for pattern in patterns for path in root.glob(pattern)}
    found = {path for path in found if not path.name.startswith(".")}
    if not found:
        raise DatasetError(
            f"{root} holds no {title} samples: looked for {' and '.join(patterns)}"
            + (f"; {hint}" if hint else "")
        )
    return sorted(found)


def folder(title: str, root: Path | str) -> Path:
    """Return `root` as an existing folder.

    Raises:
        DatasetError: it is none.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"{title}: {root} {what}; give the folder that holds it")
    return root


def chosen(title: str, option: str, value: str, known: Sequence[str]) -> str:
    """Return `value` if it is one of `known`.

    Raises:
        DatasetError: it is not.
    """
    if value not in known:
        raise DatasetError(
            f"{title}: {option}={value!r} is unknown; known: {', '.join(known)}"
        )
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename} does not exist"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, SampleError) else f"it cannot be read ({text})"
