"""One run in one folder: a lock that ends with the process, however it ends."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold a run's folder.

    Where the file system has no locks, or the system none of this kind, this does
    nothing.

    Raises:
        BlockingIOError: another process holds it; the message names host and process.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(workdir / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise BlockingIOError(
                f"{workdir} is in use by {holder}; wait for it, end it or give another "
                "--workdir"
            ) from None
        except OSError:
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
