"""Textures, 256 x 256 RGBA: photographic materials from packages, and our own.

Every texture belongs to a group, which says where scenes may use it, and has a tile
size in metres (how much of a surface one copy covers).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import patterns as draw
from patterns import SIZE, Rng
from PIL import Image

# name prefix -> (groups, tile in metres); names are those of the packages' files
PHOTOGRAPHIC = {
    "asphalt": ("road ground", 3.0), "brick_wall": ("brick facade_plain", 2.5),
    "cardboard": ("carton fabric", 1.0), "ceiling_tile": ("ceiling", 1.8),
    "cinder_blocks": ("brick", 2.0), "concrete_tiles": ("floor pavement", 1.5),
    "concrete": ("concrete wall pavement ground", 2.5), "door_garage": ("garage", 2.5),
    "door_steel": ("door", 1.0), "drywall": ("wall ceiling", 2.5),
    "floor_tiles": ("floor", 1.0), "grass": ("grass ground", 2.5),
    "marble": ("stone floor", 2.0), "metal_grill": ("metal", 1.0),
    "picket_fence": ("fence", 1.5), "rock": ("stone rock ground", 2.5),
    "stucco": ("wall facade_plain", 2.0), "water": ("water", 4.0),
    "wood_planks": ("wood floor", 1.5), "wood": ("wood floor", 1.2),
    "airduct_grate": ("metal", 1.0), "blue-wood": ("wood", 1.0),
    "brass-ambra": ("metal", 0.5), "bread": ("organic", 0.3),
    "ceramic": ("stone", 0.5), "clay": ("organic wall", 1.0),
    "cream-plaster": ("wall ceiling facade_plain", 2.0), "dark-wood": ("wood", 1.0),
    "dirt": ("soil ground", 2.5), "gray-felt": ("fabric", 0.6),
    "gray-plaster": ("wall concrete facade_plain", 2.0),
    "gray-woodgrain": ("wood", 1.0),
    "green-wood": ("wood", 1.0), "lemon": ("organic", 0.3),
    "light-gray-floor-tile": ("floor", 1.0),
    "light-gray-plaster": ("wall ceiling facade_plain", 2.0),
    "light-wood": ("wood floor", 1.0), "metal": ("metal", 0.5),
    "pink-plaster": ("wall facade_plain", 2.0), "red-wood": ("wood", 1.0),
    "steel": ("metal", 0.5), "white-bricks": ("brick wall facade_plain", 1.5),
    "white-plaster": ("wall ceiling facade_plain", 2.0), "wood-tiles": ("floor", 1.5),
    "wood-varnished-panels": ("wood floor", 1.5),
    "yellow-plaster": ("wall facade_plain", 2.0),
}  # fmt: skip
SKIPPED = ("logo", "doom", "lava", "slime", "white_1", "glass", "can", "cereal", "soda")


@dataclass(frozen=True)
class Texture:
    """One layer of the texture array; ``pixels`` is uint8 (256, 256, 4)."""

    name: str
    groups: tuple[str, ...]
    tile: float
    pixels: np.ndarray


def fitted(image: Image.Image) -> np.ndarray:
    """Resizes any picture to one RGBA layer."""
    image = image.convert("RGBA").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def photographic(folder: Path) -> Iterator[Texture]:
    """Yields the materials and paintings found under a folder, in name order."""
    for path in sorted(folder.rglob("*.png")):
        if path.stem.startswith(SKIPPED):
            continue
        keys = [key for key in PHOTOGRAPHIC if path.stem.startswith(key)]
        groups, tile = PHOTOGRAPHIC[max(keys, key=len)] if keys else ("picture", 1.0)
        pixels = fitted(Image.open(path))
        yield Texture(path.stem, tuple(groups.split()), tile, pixels)


MAKERS: list[tuple[str, int, str, float, Callable[[Rng], np.ndarray]]] = [
    ("plain", 26, "wall ceiling facade_plain", 2.5, draw.plain),
    (
        "grass",
        6,
        "grass ground",
        2.0,
        lambda r: draw.mottled(r, (0.18, 0.35), (0.3, 0.7), (0.2, 0.6)),
    ),
    (
        "soil",
        8,
        "soil ground rock",
        2.5,
        lambda r: draw.mottled(r, (0.04, 0.14), (0.1, 0.6), (0.25, 0.7)),
    ),
    (
        "gravel",
        6,
        "ground rock pavement",
        2.0,
        lambda r: draw.mottled(r, (0, 1), (0, 0.12), (0.25, 0.8)),
    ),
    (
        "snow",
        2,
        "snow ground",
        3.0,
        lambda r: draw.mottled(r, (0.5, 0.65), (0, 0.08), (0.8, 1)),
    ),
    (
        "fur",
        6,
        "organic fabric",
        0.6,
        lambda r: draw.mottled(r, (0, 1), (0, 0.6), (0.1, 0.9)),
    ),
    ("wood", 16, "wood", 1.2, draw.wood),
    ("planks", 10, "floor", 1.6, lambda r: draw.wood(r, 8)),
    ("bricks", 12, "brick facade_plain", 2.0, draw.bricks),
    ("tiles", 16, "floor", 1.6, draw.tiles),
    ("walltiles", 6, "wall", 1.2, draw.tiles),
    ("stony", 10, "pavement stone rock", 2.5, draw.stony),
    ("pattern", 18, "fabric carpet", 1.2, draw.pattern),
    ("wallpaper", 8, "wall", 1.0, draw.pattern),
    ("fabric", 14, "fabric carpet", 0.5, draw.fabric),
    ("poster", 40, "picture", 1.0, draw.poster),
    ("page", 24, "picture page", 0.3, draw.page),
    ("books", 8, "books", 1.0, draw.books),
    ("facade", 36, "facade", 12.0, draw.facade),
    ("glass_facade", 8, "facade", 14.0, draw.glass_facade),
    ("roof", 8, "roof", 2.5, draw.roof),
    ("roadway", 8, "roadway", 7.0, draw.road),
    ("leaves", 10, "leaf", 1.0, draw.leaves),
    ("blades", 6, "blades", 1.0, draw.blades),
    ("panel_door", 10, "door", 1.0, draw.door),
]


def procedural(seed: int, most: int = 1000) -> Iterator[Texture]:
    """Yields our own textures, up to ``most`` of a kind, always the same for a seed."""
    for number, (name, count, groups, tile, make) in enumerate(MAKERS):
        for copy in range(min(count, most)):
            rng = np.random.default_rng([seed, number, copy])
            picture = make(rng)
            if picture.shape[2] == 3:
                picture = np.dstack([picture, np.ones((SIZE, SIZE))])
            pixels = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
            yield Texture(f"{name}_{copy}", tuple(groups.split()), tile, pixels)
