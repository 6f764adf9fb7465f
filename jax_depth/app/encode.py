"""A depth map to the bytes of a file."""

import tempfile
from pathlib import Path
from typing import Any

from jax_depth import outputs
from jax_depth.depth_map import DepthMap


def encode(depth: DepthMap, format: str, **options: Any) -> bytes:
    """Return the file that `jax_depth.outputs.save` writes.

    Args:
        depth: the map.
        format: a name from `jax_depth.outputs.FORMATS`.
        **options: of pictures, as in `outputs.save`.

    Raises:
        ValueError, OSError: from `outputs.save`.
    """
    suffix = outputs.FORMATS[format].suffixes[0]
    with tempfile.TemporaryDirectory(prefix="jax_depth_") as folder:
        path = Path(folder) / f"depth{suffix}"
        outputs.save(depth, path, format, **options)
        return path.read_bytes()
