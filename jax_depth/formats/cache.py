"""The user's cache: where it is, and the file of what was measured on this machine."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax_depth.formats.atomic import atomic
from jax_depth.formats.json_file import read_json

MEASURED = "measured.json"


def cache_directory() -> Path:
    """Return where converted weights go: $JAX_DEPTH_CACHE or the user's cache."""
    if directory := os.environ.get("JAX_DEPTH_CACHE"):
        return Path(directory)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jax_depth"


def private_folder(folder: Path) -> None:
    """Make a folder, or an existing one, this user's alone: of files that are executed.

    Raises:
        OSError: it cannot be made, or is another user's.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def compiled_folder() -> Path:
    """Return where compiled programs are kept, jax's and whole ones."""
    return cache_directory() / "compiled"


def measured(machine: str) -> Mapping[str, Any]:
    """Return name -> JSON value of what was measured on a machine, possibly nothing.

    Args:
        machine: what the values hold for; a cache moved to another machine holds
            nothing for it.
    """
    found = _all().get(machine)
    return found if isinstance(found, dict) else {}


def keep_measured(machine: str, name: str, value: Any) -> Path:
    """Keep a JSON value beside what is known of a machine; return the file.

    If two processes write at once, one's values may be lost; they are measured again.

    Raises:
        OSError: the file cannot be written.
    """
    path = cache_directory() / MEASURED
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {**_all(), machine: {**measured(machine), name: value}}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return path


def _all() -> Mapping[str, Any]:
    try:
        known = read_json(cache_directory() / MEASURED)
    except (OSError, ValueError):  # none yet, or damaged: nothing is known
        return {}
    return known if isinstance(known, dict) else {}
