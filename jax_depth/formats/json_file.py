"""JSON from users: read whole, of a bounded size, with finite numbers only."""

import json
import os
import stat
from pathlib import Path
from typing import Any

_MAX_BYTES = 16 << 20  # the index of the largest sharded model here has 0.1 MB
_MAX_DIGITS = 40


def require_regular(path: str | os.PathLike) -> None:
    """Refuse anything but a regular file: opening a named pipe would hang.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: a pipe, a socket, a device or a directory.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {
            stat.S_IFIFO: "a named pipe",
            stat.S_IFSOCK: "a socket",
            stat.S_IFDIR: "a directory",
        }
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise ValueError(f"{path}: is {kind}, not a file; give a regular file")


def refuse_pipe(path: str | os.PathLike) -> None:
    """Refuse a pipe or a device; what is missing, or a folder, is left to be opened.

    Raises:
        ValueError: see `require_regular`.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISDIR(mode):
        require_regular(path)


def parse_json(text: str | bytes, **hooks: Any) -> Any:
    """Return a JSON document.

    Args:
        text: the document.
        hooks: passed to `json.loads`.

    Raises:
        ValueError: not JSON; NaN, an infinity or a number of too many digits; or nested
            too deeply.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_float,
            **hooks,
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def parse_own(text: str | bytes) -> Any:
    """Return a JSON document that this library may have written, NaN among its numbers.

    Raises:
        json.JSONDecodeError: not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None


def read_json(path: str | os.PathLike) -> Any:
    """Return the JSON document in a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `parse_json`, or not a regular file of at most 16 MB; the
            message does not name the file unless it is none.
    """
    require_regular(path)
    if (size := os.path.getsize(path)) > _MAX_BYTES:
        raise ValueError(f"has {size} bytes, more than any such file")
    return parse_json(Path(path).read_text(encoding="utf-8-sig"))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"holds a number of {len(text)} digits ({text[:12]}...)")
    return int(text)


def _float(text: str) -> float:
    value = float(text) if len(text) <= 400 else float("inf")
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"holds a number too large ({text[:12]}...)")
    return value
