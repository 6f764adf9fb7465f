"""Write the photos whose distances a viewer estimated, as pairs to train `tiny` on.

    python scripts/tiny/photos.py PAIRS --packages RAW [--panoramas HDRI]
    jax-depth train tiny ... --data pairs:PAIRS/train
    python scripts/tiny/evaluate.py --points PAIRS/heldout

RAW holds the unpacked Debian packages; HDRI the panoramas of npm's `@pmndrs/assets`
(`NAME.exr.js`) and of `bpy` (`studiolights/world/NAME.exr`), read with PyPI's OpenEXR.
`annotated.json` names, for each picture, its file, what part of it is seen, and some
fifty points: x and y in pixels of the picture and the distance along the optical axis,
null where that is infinite. Distances hold up to a factor, one for each picture.
"""

import argparse
import base64
import functools
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from jax_depth.camera import back_project
from jax_depth.formats.exif import camera_from_view

ANNOTATED = Path(__file__).with_name("annotated.json")
# Pixels around a point that take its value. Small: what lies beside it is another
# thing often enough.
RADIUS = 2.5
# Nothing is taken to be nearer than this share of the median distance.
NEAREST = 0.02


def photo(packages: Path, entry: Mapping[str, Any]) -> Image.Image:
    """Return the largest middle part of a photo with the shape of the picture.

    Args:
        packages: unpacked, all in one folder.
        entry: with `file` below the folder, `offset` in it where it is an archive of
            Qt, and `size`, width and height of the picture.
    """
    path = packages / entry["file"]
    if not path.is_file():
        raise SystemExit(f"{path} does not exist; unpack all packages into {packages}")
    with path.open("rb") as file:
        file.seek(entry.get("offset", 0))
        image = Image.open(io.BytesIO(file.read())).convert("RGB")
    width, height = entry["size"]
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    box = left, top, left + scale * width, top + scale * height
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


@functools.cache
def panorama(folder: Path, name: str) -> np.ndarray:
    """Return a panorama in equirectangular projection, (h, w, 3), sRGB in [0, 1]."""
    import OpenEXR

    path = next(folder.rglob(name), None)
    if path is None:
        raise SystemExit(f"{folder} holds no {name}; it takes those of both packages")
    data = path.read_bytes()
    if path.suffix == ".js":
        data = base64.b64decode(data.split(b"base64,")[1].split(b'"')[0])
    with tempfile.NamedTemporaryFile(suffix=".exr") as copy:
        copy.write(data)
        copy.flush()
        with OpenEXR.File(copy.name, separate_channels=True) as file:
            channels = file.channels()
            planes = [channels[c].pixels for c in "RGB"]
    return developed(np.clip(np.stack(planes, -1).astype(np.float32), 0, 1e4))


def developed(light: np.ndarray) -> np.ndarray:
    """Return linear light as sRGB, exposed for the picture and with a shoulder."""
    luma = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    middle, bright = np.percentile(luma, (60, 97))
    exposure = 0.32 / max(middle, 1e-6)
    if bright > 6.9 * middle:
        exposure = min(exposure, 2.2 / bright)
    x = light * exposure
    x = np.where(x < 0.5, x, 1 - 0.5 * np.exp(-np.maximum(x - 0.5, 0) / 0.5))
    return np.where(x < 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def view(rgb: np.ndarray, entry: Mapping[str, Any]) -> Image.Image:
    """Return the perspective view of a panorama.

    Args:
        rgb: (h, w, 3) in [0, 1].
        entry: with `yaw`, `pitch` (downwards negative) and `view`, the field of view
            across the longer side, in degrees, and `size`, width and height.
    """
    (h, w), (width, height) = rgb.shape[:2], entry["size"]
    camera = camera_from_view((height, width), entry["view"])
    turn = Rotation.from_euler("xy", (entry["pitch"], entry["yaw"]), degrees=True)
    rays = back_project(np.ones((height, width)), camera).reshape(-1, 3)
    x, y, z = turn.apply(rays).T.reshape(3, height, width)
    u = (np.arctan2(x, z) / (2 * np.pi) % 1) * w - 0.5
    v = (np.arctan2(y, np.hypot(x, z)) / np.pi + 0.5) * h - 0.5
    v = np.clip(v, 0, h - 1)
    planes = [
        map_coordinates(rgb[..., c], (v, u), order=3, mode="grid-wrap")
        for c in range(3)
    ]
    seen = np.stack(planes, -1)
    return Image.fromarray((np.clip(seen, 0, 1) * 255).astype(np.uint8))


def sparse(entry: Mapping[str, Any]) -> np.ndarray:
    """Return inverse depth (h, w), NaN away from the points; its median is 1."""
    width, height = entry["size"]
    inverse = np.array([0 if d is None else 1 / d for *_, d in entry["points"]])
    inverse /= np.median(inverse[inverse > 0])
    y, x = np.mgrid[:height, :width]
    values = np.full((height, width), np.nan, np.float32)
    for (column, row, _), value in zip(entry["points"], inverse, strict=True):
        near = (x - column) ** 2 + (y - row) ** 2 <= RADIUS**2
        values[near] = min(value, 1 / NEAREST)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--panoramas", type=Path)
    arguments = parser.parse_args()
    meaning = json.dumps({"kind": "inverse_depth", "unit": "none"})
    for split in ("train", "heldout"):
        for name in ("images", "depth"):
            (arguments.target / split / name).mkdir(parents=True, exist_ok=True)
        (arguments.target / split / "pairs.json").write_text(meaning)
    for entry in json.loads(ANNOTATED.read_text()):
        if "yaw" not in entry:
            picture = photo(arguments.packages, entry)
        elif arguments.panoramas:
            picture = view(panorama(arguments.panoramas, entry["file"]), entry)
        else:
            continue
        folder = arguments.target / ("heldout" if entry.get("held_out") else "train")
        picture.save(folder / "images" / f"{entry['name']}.png")
        np.save(folder / "depth" / f"{entry['name']}.npy", sparse(entry))


if __name__ == "__main__":
    main()
