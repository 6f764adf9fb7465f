"""Addresses of object stores where a path of this machine is wanted."""

import os
import re
from pathlib import Path

# One letter would be a drive of Windows.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# What pathlib makes of gs://bucket.
_COLLAPSED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def local(path: str | os.PathLike[str], what: str = "") -> Path:
    """Return a path, if it is one.

    Everything here reads and writes files of a mounted file system: from `gs://…` a
    library further down would make a local folder called `gs:`.

    Args:
        path: of a file or a folder, which need not exist.
        what: it is for, as in "--workdir".

    Raises:
        ValueError: it is an address with a scheme; the message says what to do.
    """
    text = os.fspath(path)
    pattern = _ADDRESS if isinstance(path, str) else _COLLAPSED
    if match := pattern.match(text):
        shown = f"{match[1]}://{text[match.end() :]}"
        raise ValueError(
            f"{what} {shown} is an address, not a path".lstrip() + "; mount the store "
            "(gcsfuse, s3fs, NFS) and give the folder it is mounted at"
        )
    return Path(text)
