"""Draw the pictures of README.md and docs/what-the-numbers-mean.md.

    python scripts/docs_pictures.py

writes docs/images/pagoda_side_by_side.jpg and docs/images/numbers_*.jpg with the
bundled model from the photos in examples/; run it again whenever `tiny` gets new
weights.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import jax_depth
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import read_image
from jax_depth.outputs.calibration import calibrate
from jax_depth.outputs.color import colorize, side_by_side
from jax_depth.study.edits import scale_last_layer

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PHOTOS = [ROOT / "examples" / name for name in ("coffee.jpg", "cat.jpg", "pagoda.jpg")]
CELL, LABEL, GAP = 300, 26, 8


def cell(pixels: np.ndarray, text: str) -> np.ndarray:
    """Return a picture 300 pixels wide with a line of text above it."""
    height = round(pixels.shape[0] * CELL / pixels.shape[1])
    image = Image.new("RGB", (CELL, height + LABEL), "white")
    image.paste(Image.fromarray(pixels).resize((CELL, height)), (0, LABEL))
    font = ImageFont.load_default(15)
    ImageDraw.Draw(image).text((2, 4), text, "black", font=font)
    return np.asarray(image)


def sheet(name: str, rows: list[list[tuple[np.ndarray, str]]]) -> None:
    """Write rows of cells to docs/images."""
    lines = []
    for row in rows:
        cells = [cell(pixels, text) for pixels, text in row]
        height = max(c.shape[0] for c in cells)
        padded = [
            np.pad(
                c,
                ((0, height - len(c)), (0, GAP), (0, 0)),
                constant_values=255,
            )
            for c in cells
        ]
        lines.append(np.concatenate(padded, axis=1))
    save(np.concatenate(lines), name, quality=85)


def save(pixels: np.ndarray, name: str, quality: int) -> None:
    """Write a picture to docs/images."""
    Image.fromarray(pixels).save(IMAGES / name, quality=quality)
    print((IMAGES / name).relative_to(ROOT))


def front(estimator: jax_depth.Estimator) -> None:
    """Draw what `jax-depth predict` makes of one photo, 1000 pixels wide."""
    photo = read_image(PHOTOS[2])
    both = side_by_side(photo, colorize(estimator(photo)))
    height = round(both.shape[0] * 1000 / both.shape[1])
    small = Image.fromarray(both).resize((1000, height), Image.Resampling.LANCZOS)
    save(np.asarray(small), "pagoda_side_by_side.jpg", quality=88)


def gauge(estimator: jax_depth.Estimator) -> None:
    """Draw a network beside itself with its last layer multiplied by 8."""
    params = scale_last_layer(estimator.params, 8.0)
    larger = jax_depth.Estimator(params, estimator.config)
    photo = read_image(PHOTOS[0])
    one, other = estimator(photo), larger(photo)
    high = float(other.values.max())
    canonical = [depth.canonical() for depth in (one, other)]
    ends = [float(np.percentile(canonical[0].values, q)) for q in (1, 99)]
    names = ("tiny", "tiny, last layer times 8")
    spans = [f"{d.values.min():.2g} to {d.values.max():.2g}" for d in (one, other)]
    raw = [
        (colorize(depth, low=0.0, high=high), f"{name}: {span}")
        for depth, name, span in zip((one, other), names, spans, strict=True)
    ]
    common = [
        (colorize(depth, low=ends[0], high=ends[1]), f"{name}: canonical()")
        for depth, name in zip(canonical, names, strict=True)
    ]
    blank = np.full_like(photo, 255)
    sheet("numbers_gauge.jpg", [[(photo, "photo"), *raw], [(blank, ""), *common]])


def floors(estimator: jax_depth.Estimator) -> None:
    """Draw depth with three floors."""
    photo = read_image(PHOTOS[2])
    depth = estimator(photo)
    top = float(depth.values.max())
    row = [(photo, "photo")]
    for share in (0.5, 0.35, 0.2):
        found = depth.to_depth(floor=share * top)
        row.append((colorize(found, "turbo"), f"to_depth(floor={share:g} * max)"))
    sheet("numbers_floor.jpg", [row])


def display(estimator: jax_depth.Estimator) -> None:
    """Draw three photos in their own ranges and in the calibrated one."""
    maps: list[DepthMap] = [estimator(str(path)) for path in PHOTOS]
    found = calibrate(maps)
    own = [(colorize(depth), "--range photo") for depth in maps]
    same = [
        (colorize(depth, low=found.low, high=found.high), "--range calibrated")
        for depth in maps
    ]
    photos = [(read_image(path), path.stem) for path in PHOTOS]
    sheet("numbers_display.jpg", [photos, own, same])


if __name__ == "__main__":
    tiny = jax_depth.load("tiny")
    front(tiny)
    gauge(tiny)
    floors(tiny)
    display(tiny)
