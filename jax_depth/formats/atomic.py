"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

# Bytes of free space below which a failed write is taken for a full disk.
_FULL = 1 << 16


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden temporary path beside `path` that replaces it at the end.

    The rename is atomic because both are in one folder. When the body raises, the
    temporary file is removed and an older file at `path` stays as it was.

    Raises:
        OSError: the folder is missing or the rename failed, or whatever the body
            raised; it names `path`, never the temporary file.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist")
    # A short name: the final one may already be as long as the system allows.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        number = error.errno
        # NumPy, Pillow and OpenEXR forget the reason when a disk is full.
        if number is None and shutil.disk_usage(path.parent).free < _FULL:
            number = errno.ENOSPC
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(
    directory: str | os.PathLike, replaces: tuple[str, ...]
) -> Iterator[Path]:
    """Yield a temporary directory that becomes `directory` at the end.

    Args:
        directory: where it goes. What is there already is replaced if it holds no
            other names than `replaces`.
        replaces: names of files an older version may hold.

    Raises:
        FileExistsError: `directory` is a file or holds anything else.
        OSError: it cannot be made.
    """
    directory = Path(os.path.abspath(directory))
    if directory.exists() and not directory.is_dir():
        raise FileExistsError(f"{directory}: is a file; give a directory")
    if directory.is_dir():
        others = sorted({entry.name for entry in directory.iterdir()} - {*replaces})
        if others:
            raise FileExistsError(
                f"{directory}: holds other files ({others[0]!r}); give a new directory"
            )
    token = secrets.token_hex(8)
    temporary = directory.with_name(f".{token}.new")
    old = directory.with_name(f".{token}.old")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise type(error)(
            f"{directory}: cannot be made ({error.strerror}); give another place"
        ) from None
    try:
        yield temporary
        if directory.exists():
            os.rename(directory, old)
        os.rename(temporary, directory)
    except BaseException:
        if old.exists() and not directory.exists():
            os.rename(old, directory)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
