"""The asset pack: all meshes and textures a scene may use, built once, loaded fast."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import meshes
import numpy as np
import shapes
import textures
from PIL import Image, UnidentifiedImageError

SEED = 7
HELD_OUT_SHARE = 0.15
# Floor markings and swimming pools are holes or paint, not furniture; wall plugs are
# too small to see.
UNUSED = ("plug", "switch", "socket", "dimmer", "fleche", "stationnement", "passage",
          "swimming-pool", "swimmingpool", "antenna", "RJ-45")  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One mesh of the pack: where its indices lie, how big it is, who made it."""

    name: str
    category: str
    first: int
    count: int
    base: int
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    held_out: bool
    cutout: bool = False  # has texture holes
    elevation: float = 0.0
    title: str = ""
    source: str = ""
    creator: str = ""

    @property
    def size(self) -> np.ndarray:
        """Width, depth, height in metres."""
        return np.array(self.high) - np.array(self.low)


@dataclass(frozen=True)
class Layer:
    """One texture of the pack; its number is its position in ``Pack.layers``."""

    name: str
    groups: tuple[str, ...]
    tile: float
    held_out: bool


class Pack:
    """A loaded asset pack, optionally restricted to one split.

    Args:
        folder: what :func:`build` wrote.
        split: "train" never shows what is held out; "heldout" shows only that,
            except where a group or category would become empty; "all" shows all.
    """

    def __init__(self, folder: Path | str, split: str = "all"):
        folder = Path(folder)
        text = json.loads((folder / "pack.json").read_text())
        self.models = [Model(**row) for row in text["models"]]
        self.layers = [Layer(**row) for row in text["layers"]]
        self.vertices = np.load(folder / "vertices.npy")
        self.indices = np.load(folder / "indices.npy")
        self.materials = np.load(folder / "materials.npy")
        self.pixels = np.load(folder / "textures.npy", mmap_mode="r")
        self.by_name = {model.name: n for n, model in enumerate(self.models)}
        self.by_category = self._choose(self.models, lambda m: [m.category], split)
        self.by_group = self._choose(self.layers, lambda t: t.groups, split)

    @staticmethod
    def _choose(items: list, keys, split: str) -> dict[str, list[int]]:
        chosen = defaultdict(list)
        for held_out in (split == "heldout", split != "heldout"):
            known = set(chosen)
            for number, item in enumerate(items):
                if split == "train" and item.held_out:
                    continue
                if split != "all" and item.held_out != held_out:
                    continue
                for key in keys(item):
                    if key not in known or split == "all":
                        chosen[key].append(number)
            if split == "all":
                break
        return dict(chosen)

    @cache  # noqa: B019 (a pack lives as long as its process)
    def titled(self, words: tuple[str, ...], most: float) -> list[int]:
        """Furniture whose title holds one of the words, up to a largest size."""
        return [
            n
            for category, numbers in self.by_category.items()
            if category[0].isupper()
            for n in numbers
            if any(word in self.models[n].title.lower() for word in words)
            and self.models[n].size.max() <= most
        ]

    @cache  # noqa: B019
    def small(self, categories: tuple[str, ...], most: float) -> list[int]:
        """Things of the categories that stand on their own, up to a largest size."""
        return [
            n
            for category in categories
            for n in self.by_category.get(category, [])
            if self.models[n].size.max() <= most and self.models[n].elevation == 0
        ]


def is_held_out(name: str, kind: str) -> bool:
    """Whether a mesh or texture belongs to the held-out split (by its name's hash)."""
    digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()
    return digest[0] < 256 * HELD_OUT_SHARE


def built_in() -> list[meshes.Mesh]:
    """Every shape made here, in a fixed order."""
    made = [
        shapes.box(),
        shapes.quad(),
        shapes.ground(),
        shapes.gable(),
        shapes.quad_up(),
        *shapes.round_shapes(),
    ]
    makers = (("rock", shapes.rock, 8), ("tree", shapes.tree, 14),
              ("bush", shapes.bush, 6), ("grass", shapes.grass, 6))  # fmt: skip
    for number, (name, maker, copies) in enumerate(makers):
        for copy in range(copies):
            rng = np.random.default_rng([SEED, 90, number, copy])
            made.append(maker(f"{name}_{copy}", rng))
    for copy in range(10):
        rng = np.random.default_rng([SEED, 99, copy])
        made.append(shapes.terrain(f"terrain_{copy}", rng, ridged=copy % 2 == 1))
    return made


class Builder:
    """Collects meshes, materials and textures, then writes them as a pack."""

    def __init__(self):
        self.vertices, self.indices, self.materials = [], [], []
        self.models, self.layers, self.pixels = [], [], []
        self.images: dict[bytes, int] = {}
        self.vertex_count = self.index_count = 0

    def add_texture(self, texture: textures.Texture) -> int:
        out = len(texture.groups) > 0 and is_held_out(texture.name, "texture")
        if texture.groups and texture.groups[0] in ("leaf", "blades", "books", "road"):
            out = False  # too few to split
        layer = Layer(texture.name, texture.groups, texture.tile, out)
        self.layers.append(layer)
        self.pixels.append(texture.pixels)
        return len(self.layers) - 1

    def image_layer(self, archive: zipfile.ZipFile, path: str) -> int:
        try:
            data = archive.read(path)
            key = hashlib.sha256(data).digest()
            if key not in self.images:
                pixels = textures.fitted(Image.open(io.BytesIO(data)))
                texture = textures.Texture(Path(path).stem, (), 1.0, pixels)
                self.images[key] = self.add_texture(texture)
            return self.images[key]
        except (KeyError, UnidentifiedImageError, OSError):
            return -1

    def add_mesh(self, mesh: meshes.Mesh, source: str, archive=None, layers=None):
        first_material, cutout = len(self.materials), False
        for number, material in enumerate(mesh.materials):
            layer = (layers or {}).get(number, -1)
            if material.image and archive is not None:
                layer = self.image_layer(archive, material.image)
            cutout |= layer >= 0 and bool((self.pixels[layer][..., 3] < 100).any())
            colour = np.sqrt(np.clip(material.colour, 0, 1)) if layer < 0 else (1, 1, 1)
            self.materials.append([*colour, material.gloss, layer, 0, 0, 0])
        vertices, indices = mesh.packed(first_material)
        low, high = mesh.positions.min(0), mesh.positions.max(0)
        info = mesh.info
        self.models.append(
            Model(
                mesh.name, mesh.category, self.index_count, len(indices),
                self.vertex_count, tuple(low.tolist()), tuple(high.tolist()),
                bool(archive) and is_held_out(mesh.name, "mesh"), cutout,
                info.get("elevation", 0.0), info.get("title", ""), source,
                info.get("creator", ""),
            )
        )  # fmt: skip
        self.vertices.append(vertices)
        self.indices.append(indices)
        self.vertex_count += len(vertices)
        self.index_count += len(indices)

    def save(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        rows = -(-len(self.materials) // 512)
        table = np.zeros((rows * 512, 8), np.float32)
        table[: len(self.materials)] = self.materials
        np.save(folder / "materials.npy", table.reshape(rows, 1024, 4))
        np.save(folder / "vertices.npy", np.concatenate(self.vertices))
        np.save(folder / "indices.npy", np.concatenate(self.indices))
        np.save(folder / "textures.npy", np.stack(self.pixels))
        text = {
            "models": [asdict(model) for model in self.models],
            "layers": [asdict(layer) for layer in self.layers],
        }
        (folder / "pack.json").write_text(json.dumps(text))
        (folder / "credits.txt").write_text(self.credits())

    def credits(self) -> str:
        """One line per source of models with its authors, for the model card."""
        authors = defaultdict(set)
        for model in self.models:
            if model.creator:
                authors[model.source].add(model.creator)
        return "".join(
            f"{source}: {', '.join(sorted(names, key=str.lower))}\n"
            for source, names in sorted(authors.items())
        )


def add_built_in(builder: Builder) -> None:
    """Adds our own textures and shapes; trees and bushes get bark and leaf layers."""
    groups = defaultdict(list)
    for texture in textures.procedural(SEED):
        for group in texture.groups:
            groups[group].append(len(builder.layers))
        builder.add_texture(texture)
    for number, mesh in enumerate(built_in()):
        leaf = groups["leaf"][number % len(groups["leaf"])]
        blade = groups["blades"][number % len(groups["blades"])]
        layers = {}
        if mesh.category == "tree":
            mesh.materials = [meshes.Material((0.25, 0.17, 0.1)), meshes.Material()]
            layers = {0: groups["wood"][number % 16], 1: leaf}
        elif mesh.category == "bush":
            layers = {0: leaf}
        elif mesh.category == "grass":
            layers = {0: blade}
        builder.add_mesh(mesh, "built in", layers=layers)


def build(folder: Path, materials: Path | None, furniture: list[Path]) -> None:
    """Builds a pack.

    Args:
        folder: where to write it.
        materials: folder with the photographic PNG materials, or None.
        furniture: .sh3f catalogues.
    """
    builder = Builder()
    add_built_in(builder)
    if materials is not None:
        for texture in textures.photographic(materials):
            builder.add_texture(texture)
    for path in sorted(furniture):
        for mesh, archive in meshes.furniture(str(path)):
            if not any(word in mesh.name for word in UNUSED):
                mesh.name = f"{path.stem}/{mesh.name}"
                builder.add_mesh(mesh, path.stem, archive)
    builder.save(folder)


def built_in_pack() -> Pack:
    """A pack of our own shapes and textures only, for tests."""
    builder = Builder()
    for mesh in built_in()[:11]:
        builder.add_mesh(mesh, "built in")
    for texture in textures.procedural(SEED, most=1):
        builder.add_texture(texture)
    with tempfile.TemporaryDirectory() as folder:
        builder.save(Path(folder))
        return Pack(folder)


def main() -> None:
    """Command line: ``assets.py OUT --materials FOLDER --furniture FILE.sh3f…``."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--materials", type=Path)
    parser.add_argument("--furniture", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    build(arguments.out, arguments.materials, arguments.furniture)


if __name__ == "__main__":
    main()
