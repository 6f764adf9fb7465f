"""An asset pack in one small file, to carry to another machine, and back.

    python scripts/tiny/renderer/compact.py PACK pack.zip
    python scripts/tiny/renderer/compact.py pack.zip PACK

490 MB become some 45 MB. Lossy, but not to the eye: positions in 65535 steps of
a mesh's box, texture coordinates in float16, textures as WebP.
"""

import argparse
import io
import lzma
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from assets import Model, Pack
from meshes import VERTEX
from PIL import Image

QUALITY = 82
VERBATIM = ("pack.json", "materials.npy", "credits.txt")


def ordered(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (which old vertex is the i-th, new indices): vertices by first use."""
    old, first, inverse = np.unique(indices, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(old), np.uint32)
    rank[order] = np.arange(len(old))
    return old[order], rank[inverse.ravel()]


def differences(values: np.ndarray) -> np.ndarray:
    """Return each row less the row before, modulo its integer type."""
    return np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))


def boxes(models: list[Model], counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest corner and the size of the box of each vertex's mesh."""
    low = np.repeat(np.array([m.low for m in models], np.float32), counts, 0)
    high = np.repeat(np.array([m.high for m in models], np.float32), counts, 0)
    return low, np.maximum(high - low, 1e-9)


def vertex_counts(models: list[Model], total: int) -> list[int]:
    """Return the number of vertices of every model; they lie in its order."""
    return np.diff([*(m.base for m in models), total]).tolist()


def bytewise(values: np.ndarray) -> bytes:
    """Return all low bytes, then the higher ones, by column: compresses better."""
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    return np.ascontiguousarray(rows.T).tobytes()


def from_bytewise(data: bytes, dtype: str, columns: int) -> np.ndarray:
    """Undo `bytewise`."""
    width = np.dtype(dtype).itemsize * columns
    rows = np.frombuffer(data, np.uint8).reshape(width, -1).T
    return np.ascontiguousarray(rows).view(dtype).reshape(-1, columns)


def compress(folder: Path, target: Path) -> None:
    """Write a pack as one file."""
    pack = Pack(folder)
    vertices, fresh = [], []
    counts = vertex_counts(pack.models, len(pack.vertices))
    for model, count in zip(pack.models, counts, strict=True):
        old, new = ordered(pack.indices[model.first : model.first + model.count])
        assert len(old) == count, f"{model.name} has vertices that no triangle uses"
        vertices.append(pack.vertices[model.base : model.base + count][old])
        # How far below the first vertex not yet seen.
        seen = np.maximum.accumulate(np.concatenate([[0], new[:-1] + 1]))
        fresh.append((seen - new).astype(np.uint32))
    rows = np.concatenate(vertices)
    low, size = boxes(pack.models, counts)
    place = np.rint(np.clip((rows["position"] - low) / size, 0, 1) * 65535)
    streams = {
        "position": differences(place.astype("<u2")),
        "normal": differences(rows["normal"][:, :3]),
        "uv": differences(np.clip(rows["uv"], -6e4, 6e4).astype("<f2").view("<u2")),
        "material": differences(rows["material"][:, :1].astype("<u2")),
        "index": np.concatenate(fresh).astype("<u4")[:, None],
    }

    def packed(name: str) -> bytes:
        return lzma.compress(bytewise(streams[name]), preset=6)

    def picture(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        image = Image.fromarray(pixels)
        image = image if (pixels[..., 3] < 255).any() else image.convert("RGB")
        image.save(buffer, "WEBP", quality=QUALITY)
        return buffer.getvalue()

    with zipfile.ZipFile(target, "w") as archive, ThreadPoolExecutor() as pool:
        for name in VERBATIM:
            archive.writestr(name, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
        for name, data in zip(streams, pool.map(packed, streams), strict=True):
            archive.writestr(f"{name}.xz", data)
        for number, data in enumerate(pool.map(picture, pack.pixels)):
            archive.writestr(f"{number}.webp", data)


def expand(source: Path, folder: Path) -> None:
    """Write the pack that a file holds."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source) as archive:
        for name in VERBATIM:
            (folder / name).write_bytes(archive.read(name))

        def stream(name: str, dtype: str, columns: int) -> np.ndarray:
            data = lzma.decompress(archive.read(f"{name}.xz"))
            values = from_bytewise(data, dtype, columns)
            if name == "index":
                return values
            return np.cumsum(values, 0, dtype=dtype)

        def picture(data: bytes) -> np.ndarray:
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))

        with ThreadPoolExecutor() as pool:
            numbers = range(sum(name.endswith(".webp") for name in archive.namelist()))
            pictures = [archive.read(f"{number}.webp") for number in numbers]
            pixels = pool.map(picture, pictures)
            kinds = {
                "position": ("<u2", 3),
                "normal": ("u1", 3),
                "uv": ("<u2", 2),
                "material": ("<u2", 1),
                "index": ("<u4", 1),
            }
            found = {name: stream(name, *kind) for name, kind in kinds.items()}
            np.save(folder / "textures.npy", np.stack(list(pixels)))
    rows = np.zeros(len(found["position"]), VERTEX)
    fresh = found["index"][:, 0].astype(np.int64)
    # Only the shapes' tables are needed here, and `Pack` wants all files.
    np.save(folder / "vertices.npy", rows)
    np.save(folder / "indices.npy", np.zeros(len(fresh), np.uint32))
    models = Pack(folder).models
    low, size = boxes(models, vertex_counts(models, len(rows)))
    rows["position"] = low + found["position"] / np.float32(65535) * size
    rows["normal"][:, :3] = found["normal"]
    rows["uv"] = found["uv"].view("<f2")
    rows["material"][:, 0] = found["material"][:, 0]
    indices = np.empty(len(fresh), np.uint32)
    for model in models:
        part = slice(model.first, model.first + model.count)
        # A zero is a vertex seen for the first time.
        new = fresh[part] == 0
        seen = np.concatenate([[0], np.cumsum(new)[:-1]])
        indices[part] = seen - fresh[part]
    np.save(folder / "vertices.npy", rows)
    np.save(folder / "indices.npy", indices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "source", type=Path, help="a pack, or a file that this script wrote"
    )
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    convert = compress if arguments.source.is_dir() else expand
    convert(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
