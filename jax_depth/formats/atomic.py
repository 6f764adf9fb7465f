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
