"""The photos that come with the package."""

import importlib.resources
from pathlib import Path


def example_photos() -> list[Path]:
    """Return their paths, sorted by name; see examples/README.md for who took them."""
    folder = importlib.resources.files("jax_depth") / "assets" / "examples"
    return sorted(Path(str(item)) for item in folder.iterdir() if ".jpg" in item.name)
