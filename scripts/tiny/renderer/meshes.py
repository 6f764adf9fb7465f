"""Meshes: Wavefront OBJ furniture from .sh3f catalogues, and built-in shapes.

Everything becomes one vertex layout in metres, z up, front towards -y, standing on
z = 0 and centred over the origin.
"""

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

VERTEX = np.dtype(
    [
        ("position", "f4", 3),
        ("normal", "u1", 4),
        ("uv", "f4", 2),
        ("material", "u2", 2),  # the second number is padding
    ]
)
MAX_TRIANGLES = 24000
MAX_OBJ_BYTES = 6_000_000


@dataclass(frozen=True)
class Material:
    """Look of one part: linear colour factor, gloss and image inside the archive."""

    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    gloss: float = 0.1
    image: str | None = None


@dataclass
class Mesh:
    """A triangle list: positions, normals (n, 3), uvs (n, 2), materials (n,)."""

    name: str
    category: str
    positions: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    material_ids: np.ndarray
    materials: list[Material] = field(default_factory=lambda: [Material()])
    info: dict = field(default_factory=dict)

    def packed(self, first_material: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the distinct vertices (VERTEX) and uint32 indices."""
        soup = np.zeros(len(self.positions), VERTEX)
        soup["position"] = self.positions
        soup["normal"][:, :3] = np.rint(np.clip(self.normals, -1, 1) * 127) + 128
        soup["uv"] = self.uvs
        soup["material"][:, 0] = self.material_ids + first_material
        rows = soup.view(np.dtype((np.void, VERTEX.itemsize)))
        _, keep, indices = np.unique(rows, return_index=True, return_inverse=True)
        return soup[keep], indices.astype(np.uint32).ravel()


def catalogue(archive: zipfile.ZipFile) -> Iterator[dict[str, str]]:
    """Yields the entries of a .sh3f catalogue as dicts of their properties."""
    text = archive.read("PluginFurnitureCatalog.properties").decode("latin1")
    entries = defaultdict(dict)
    for match in re.finditer(r"^(\w+)#(\d+)=(.*?)\r?$", text, re.MULTILINE):
        entries[int(match[2])][match[1]] = match[3]
    for _, entry in sorted(entries.items()):
        yield entry


def read_materials(archive: zipfile.ZipFile, path: str) -> dict[str, Material]:
    """Reads an MTL file; a missing file gives no materials."""
    folder, found, name = PurePosixPath(path).parent, {}, None
    try:
        lines = archive.read(path).decode("latin1").splitlines()
    except KeyError:
        return {}
    for line in lines:
        words = line.split()
        if not words:
            continue
        if words[0] == "newmtl":
            name = line.split(None, 1)[1].strip()
            found[name] = {"Kd": (0.7, 0.7, 0.7), "Ks": 0.0, "d": 1.0, "image": None}
        elif name is None:
            continue
        elif words[0] == "Kd":
            found[name]["Kd"] = tuple(float(w) for w in words[1:4])
        elif words[0] == "Ks":
            found[name]["Ks"] = sum(float(w) for w in words[1:4]) / 3
        elif words[0] == "d":
            found[name]["d"] = float(words[-1])
        elif words[0] == "map_Kd":
            found[name]["image"] = str(folder / line.split(None, 1)[1].strip())
    return {key: _material(value) for key, value in found.items()}


def _material(values: dict) -> Material:
    colour = values["Kd"]
    gloss = min(0.9, 0.05 + 0.8 * values["Ks"])
    if values["image"]:
        # Exporters often leave a dark Kd beside an image; the image rules.
        return Material((1.0, 1.0, 1.0), gloss, values["image"])
    if values["d"] < 0.6:  # glass: drawn opaque, dark and glossy
        return Material(tuple(0.3 * c + 0.08 for c in colour), 0.9)
    return Material(colour, gloss)


def _corner(word: str, sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    parts = [*word.split("/"), "", ""][:3]
    numbers = []
    for part, size in zip(parts, sizes, strict=True):
        number = int(part) if part else 0
        numbers.append(number - 1 if number > 0 else number + size if number else -1)
    return tuple(numbers)


def read_obj(archive: zipfile.ZipFile, path: str) -> Mesh:
    """Reads one OBJ as triangles, in the file's own axes and units.

    Raises:
        ValueError: if it has no face or more than ``MAX_TRIANGLES`` triangles.
    """
    arrays = {"v": [], "vt": [], "vn": []}
    corners, ids, names, library = [], [], {}, {}
    current = 0
    for line in archive.read(path).decode("latin1").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in arrays:
            arrays[words[0]].append(words[1:4])
        elif words[0] == "f":
            sizes = (len(arrays["v"]), len(arrays["vt"]), len(arrays["vn"]))
            face = [_corner(word, sizes) for word in words[1:]]
            for second, third in pairwise(face[1:]):
                corners += [face[0], second, third]
                ids += [current] * 3
        elif words[0] == "usemtl":
            current = names.setdefault(line.split(None, 1)[1].strip(), len(names))
        elif words[0] == "mtllib":
            name = line.split(None, 1)[1].strip()
            library |= read_materials(archive, str(PurePosixPath(path).parent / name))
    if not corners or len(corners) > 3 * MAX_TRIANGLES:
        raise ValueError(f"{path} has {len(corners) // 3} triangles")
    index = np.array(corners)
    positions = np.array(arrays["v"], np.float64)[index[:, 0]]
    materials = [library.get(name, Material()) for name in names] or [Material()]
    return Mesh(
        name=PurePosixPath(path).stem,
        category="",
        positions=positions,
        normals=_normals(arrays["vn"], index[:, 2], positions),
        uvs=_uvs(arrays["vt"], index[:, 1]),
        material_ids=np.array(ids),
        materials=materials,
    )


def _uvs(values: list, index: np.ndarray) -> np.ndarray:
    if not values:
        return np.zeros((len(index), 2))
    uvs = np.array([value[:2] for value in values], np.float64)[index]
    uvs[index < 0] = 0
    return uvs


def _normals(values: list, index: np.ndarray, positions: np.ndarray) -> np.ndarray:
    corners = positions.reshape(-1, 3, 3)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.repeat(flat, 3, axis=0)
    if values:
        given = np.array(values, np.float64)[index]
        normals = np.where((index >= 0)[:, None], given, normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)


def placed(mesh: Mesh, entry: dict[str, str]) -> Mesh:
    """Turns a catalogue model z up and scales it to its real size."""
    turn = np.eye(3)
    if "modelRotation" in entry:
        turn = np.array(entry["modelRotation"].split(), np.float64).reshape(3, 3)
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]) @ turn
    positions, normals = mesh.positions @ turn.T, mesh.normals @ turn.T
    low, high = positions.min(0), positions.max(0)
    size = np.array([float(entry[k]) / 100 for k in ("width", "depth", "height")])
    factor = size / np.maximum(high - low, 1e-9)
    factor[high - low < 1e-6] = 1.0
    anchor = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    normals = normals / factor
    mesh.positions = (positions - anchor) * factor
    mesh.normals = normals / np.maximum(
        np.linalg.norm(normals, axis=1, keepdims=True), 1e-12
    )
    mesh.category = entry["category"]
    mesh.info = {
        "title": entry["name"],
        "elevation": float(entry.get("elevation", 0)) / 100,
        "creator": entry.get("creator", ""),
    }
    return mesh


def furniture(path: str) -> Iterator[tuple[Mesh, zipfile.ZipFile]]:
    """Yields every usable model of a .sh3f file, with the archive of its images."""
    archive = zipfile.ZipFile(path)
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    for entry in catalogue(archive):
        model = entry["model"].lstrip("/")
        if not 0 < sizes.get(model, 0) <= MAX_OBJ_BYTES:
            continue
        if not licence_allows(archive, model):
            continue
        try:
            yield placed(read_obj(archive, model), entry), archive
        except ValueError:
            continue  # empty, too heavy or malformed: the catalogue is large


def licence_allows(archive: zipfile.ZipFile, model: str) -> bool:
    """Whether the model's own licence file (if any) is plain CC0 or CC-BY."""
    folder = str(PurePosixPath(model).parent)
    for name in archive.namelist():
        if name.startswith(folder + "/") and "licen" in name.lower():
            text = archive.read(name).decode("latin1").lower()
            banned = r"share ?-?alike|non-?commercial|no ?derivat|\bgpl\b"
            if re.search(banned, text):
                return False
            if not re.search(r"creative commons (zero|attribution)|cc-?0|cc-?by", text):
                return False
    return True
