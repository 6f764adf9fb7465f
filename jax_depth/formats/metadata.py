"""What a file says about its values: kind, unit, model, max_depth, as short texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_depth.depth_map import DepthMap

# Prefix of our keys where a format shares one flat space with other programs.
PREFIX = "depth-"


def to_texts(depth: DepthMap) -> dict[str, str]:
    """Return what `from_texts` needs besides the values; absent means None or ""."""
    texts = {"kind": depth.kind}
    if depth.unit is not None:
        texts["unit"] = depth.unit
    if depth.model:
        texts["model"] = depth.model
    if depth.max_depth is not None:
        texts["max_depth"] = repr(float(depth.max_depth))
    return texts


def from_texts(
    values: np.ndarray, texts: Mapping[str, str], kind: str | None, path: Path
) -> DepthMap:
    """Return the DepthMap of `values` and the texts found beside them.

    Args:
        values: (h, w).
        texts: as `to_texts` returns them; empty for a file without any.
        kind: what the caller says the values are; needed when the file does not.
        path: for messages.

    Raises:
        ValueError: nobody says what the values are, or the two disagree.
    """
    stored = texts.get("kind")
    if stored is None and kind is None:
        raise ValueError(
            f"{path} does not say what its values are; pass kind='inverse_depth', "
            "'depth' or 'metric_depth'"
        )
    if stored is not None and kind is not None and stored != kind:
        raise ValueError(f"{path} holds {stored}, not {kind}")
    chosen: Any = stored or kind
    unit: Any = texts.get("unit", "m" if chosen == "metric_depth" else None)
    try:
        limit = float(texts["max_depth"]) if "max_depth" in texts else None
        return DepthMap(values, chosen, unit, texts.get("model", ""), limit)
    except ValueError as error:
        raise ValueError(
            f"{path} is not a depth map that jax_depth reads: {error}"
        ) from None


def require_finite(depth: DepthMap, format_name: str) -> None:
    """Raise a ValueError for NaN or infinity, which `format_name` cannot hold."""
    bad = depth.values.size - np.count_nonzero(np.isfinite(depth.values))
    if bad:
        raise ValueError(
            f"the map holds {bad} values that are NaN or infinite, which {format_name} "
            "cannot hold; save it as .npy, .npz, .pfm, .exr or .tiff"
        )
