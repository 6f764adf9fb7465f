"""Files that appear whole or not at all."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from jax_depth.formats.address import local

# Bytes of free space below which a failed write is taken for a full disk.
_FULL = 1 << 16


def temporary_name(folder: Path, suffix: str = "tmp") -> str:
    """Return a hidden name that says which process it belongs to.

    A process's first call removes what killed processes left in the folder.
    """
    if folder not in _swept:
        _swept.add(folder)
        _sweep(folder)
    return f".{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.{suffix}"


def _sweep(folder: Path) -> None:
    """Remove temporary files of processes of this machine that have ended."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            hit = _TEMPORARY.fullmatch(entry.name)
            if hit is None or hit[1] != _HOST or _is_running(int(hit[2])):
                continue
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


# Folders may be shared by machines, whose process numbers are unrelated.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\.([0-9a-f]{8})-([0-9]{1,9})-[0-9a-f]{8}\.(?:tmp|new)")
_swept: set[Path] = set()


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden temporary path beside `path` that replaces it at the end.

    The rename is atomic because both are in one folder. When the body raises, the
    temporary file is removed and an older file at `path` stays as it was.

    Raises:
        ValueError: `path` is an address of an object store.
        OSError: the folder is missing or the rename failed, or whatever the body
            raised; it names `path`, never the temporary file.
    """
    path = local(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist")
    # A short name: the final one may already be as long as the system allows.
    temporary = path.with_name(temporary_name(path.parent))
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


def check_replaceable(directory: Path, replaces: tuple[str, ...]) -> None:
    """Refuse a directory that `new_directory` would; before long work for it.

    Raises:
        FileExistsError: it is a file or holds anything but files named `replaces`.
    """
    if directory.exists() and not directory.is_dir():
        raise FileExistsError(f"{directory}: is a file; give a directory")
    if directory.is_dir():
        others = sorted({entry.name for entry in directory.iterdir()} - {*replaces})
        if others:
            raise FileExistsError(
                f"{directory}: holds other files ({others[0]!r}); give a new directory"
            )


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
        ValueError: `directory` is an address of an object store.
        FileExistsError: `directory` is a file or holds anything else.
        OSError: it cannot be made.
    """
    directory = Path(os.path.abspath(local(directory)))
    check_replaceable(directory, replaces)
    token = secrets.token_hex(8)
    temporary = directory.with_name(temporary_name(directory.parent, "new"))
    old = directory.with_name(f".{token}.old")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise type(error)(
            f"{directory}: cannot be made ({error.strerror}); choose another place"
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
