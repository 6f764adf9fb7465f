"""Drawn textures, each (256, 256, 3 or 4) in 0..1 sRGB; noise is tileable."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 256
Rng = np.random.Generator


def noise(rng: Rng, slope: float, stretch=(1.0, 1.0)) -> np.ndarray:
    """Tileable random field (256, 256), spectrum f^-slope, zero mean, deviation 1."""
    fy, fx = np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE), indexing="ij")
    radius = np.hypot(fy * stretch[0], fx * stretch[1]) * SIZE
    radius[0, 0] = np.inf
    field = np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * radius**-slope
    field = np.fft.ifft2(field).real
    return field / field.std()


def hue_of_things(rng: Rng) -> float:
    """A hue as common things have it: mostly earth and wood, some blue and green."""
    low, high = [(0.0, 0.14), (0.2, 0.4), (0.5, 0.66), (0.0, 1.0)][
        int(rng.choice(4, p=[0.55, 0.13, 0.2, 0.12]))
    ]
    return rng.uniform(low, high)


def colour(rng: Rng, hue=None, saturation=(0.02, 0.6), value=(0.2, 0.9)) -> np.ndarray:
    """A random sRGB colour in 0..1; greyish ones are likelier."""
    h = hue_of_things(rng) if hue is None else rng.uniform(*hue)
    low, high = saturation
    s, v = low + (high - low) * rng.random() ** 1.7, rng.uniform(*value)
    rgb = np.clip(np.abs((h * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return v * (1 - s + s * rgb)


def shaded(base: np.ndarray, *layers: tuple[float, np.ndarray]) -> np.ndarray:
    """Multiplies a colour (3,) or picture (256, 256, 3) by 1 + sum weight * field."""
    factor = 1 + sum(weight * field for weight, field in layers)
    picture = np.broadcast_to(base, (SIZE, SIZE, 3)) * factor[..., None]
    return np.clip(picture, 0, 1)


def plain(rng: Rng) -> np.ndarray:
    """Paint, plaster or concrete: a colour with faint stains and grain."""
    base = colour(rng, saturation=(0, 0.35), value=(0.45, 0.95))
    grain = (rng.uniform(0.01, 0.05), noise(rng, 0.3))
    return shaded(base, (rng.uniform(0.01, 0.07), noise(rng, 1.6)), grain)


def mottled(rng: Rng, hue, saturation, value) -> np.ndarray:
    """Earth, grass, gravel, snow: two colours mixed by rough noise."""
    a, b = (colour(rng, hue, saturation, value) for _ in range(2))
    mix = 1 / (1 + np.exp(-1.5 * noise(rng, rng.uniform(0.7, 1.5))))[..., None]
    fine = noise(rng, rng.uniform(0.1, 0.7))
    return shaded(a * mix + b * (1 - mix), (rng.uniform(0.1, 0.3), fine))


def wood(rng: Rng, planks: int = 0) -> np.ndarray:
    """Wood grain along the picture's height, as a sheet or as planks."""
    base = colour(rng, (0.04, 0.11), (0.25, 0.7), (0.2, 0.8))
    planks = planks or int(rng.choice([1, 3, 4, 6, 8]))
    picture = np.zeros((SIZE, SIZE, 3))
    edges = np.linspace(0, SIZE, planks + 1).astype(int)
    fibre, stripe = noise(rng, 0.9, (8, 1)), noise(rng, 1.5, (5, 1))
    for left, right in pairwise(edges):
        shift, tone = int(rng.integers(SIZE)), rng.uniform(0.8, 1.15)
        grain = np.sin(np.roll(stripe, shift, 0) * 5)
        sheet = shaded(base * tone, (0.09, grain), (0.09, np.roll(fibre, shift, 0)))
        picture[:, left:right] = sheet[:, left:right]
        if planks > 1:
            picture[:, left : left + 1] *= 0.45
            picture[shift : shift + 1, left:right] *= 0.5
    return picture


def masonry(rng: Rng, rows: int, columns: int, base: np.ndarray) -> np.ndarray:
    """Bricks or blocks in running bond with mortar."""
    mortar = shaded(np.full(3, rng.uniform(0.4, 0.8)), (0.08, noise(rng, 0.5)))
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    row = (y * rows).astype(int)
    along = x * columns + 0.5 * (row % 2)
    column = along.astype(int) % columns
    tone = rng.uniform(0.65, 1.2, (rows, columns))[row, column]
    gap = rng.uniform(0.06, 0.14)
    inside = (y * rows % 1 > gap) & (along % 1 > gap * rows / columns / 2)
    bricks = shaded(base * tone[..., None], (0.1, noise(rng, 0.8)))
    return np.where(inside[..., None], bricks, mortar)


def bricks(rng: Rng) -> np.ndarray:
    base = colour(rng, (0, 0.1), (0.1, 0.7), (0.35, 0.8))
    rows = int(rng.choice([8, 12, 16]))
    return masonry(rng, rows, rows // 2, base)


def tiles(rng: Rng) -> np.ndarray:
    """Square tiles with joints, sometimes in two colours."""
    count = int(rng.choice([2, 4, 6, 8]))
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE * count
    a = colour(rng, saturation=(0, 0.4), value=(0.3, 0.95))
    b = colour(rng, saturation=(0, 0.5)) if rng.random() < 0.4 else a
    odd = ((y.astype(int) + x.astype(int)) % 2)[..., None]
    tone = rng.uniform(0.9, 1.08, (count, count))[y.astype(int), x.astype(int)]
    picture = shaded(np.where(odd, a, b) * tone[..., None], (0.04, noise(rng, 1.4)))
    joint = (y % 1 < 0.05) | (x % 1 < 0.05)
    picture[joint] = rng.uniform(0.3, 0.9)
    return picture


def pattern(rng: Rng) -> np.ndarray:
    """Stripes, checks, dots or zigzags in two to four colours."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    count, kind = int(rng.integers(3, 14)), int(rng.integers(4))
    wave = [
        x * count, np.floor(x * count) + np.floor(y * count),
        4 * (np.hypot(x * count % 1 - 0.5, y * count % 1 - 0.5) < 0.3),
        x * count + np.abs(y * count % 2 - 1),
    ][kind]  # fmt: skip
    palette = np.array([colour(rng) for _ in range(int(rng.integers(2, 5)))])
    picture = palette[wave.astype(int) % len(palette)]
    return shaded(picture, (0.05, noise(rng, 0.4)))


def fabric(rng: Rng) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    weave = np.sin(x * np.pi / 2) * np.sin(y * np.pi / 2)
    base = colour(rng, value=(0.15, 0.85))
    return shaded(base, (0.08, weave), (0.07, noise(rng, 0.9)))


def _rgb(rng: Rng) -> tuple[int, int, int]:
    return tuple(
        int(255 * c) for c in colour(rng, saturation=(0, 0.9), value=(0.05, 1))
    )


def _words(rng: Rng, count: int) -> str:
    letters = np.array(list("abcdefghiklmnoprstuvwy"))
    return " ".join(
        "".join(rng.choice(letters, int(rng.integers(2, 9)))) for _ in range(count)
    )


def poster(rng: Rng) -> np.ndarray:
    """Random shapes over a gradient, sometimes with a headline."""
    a, b = colour(rng), colour(rng)
    ramp = np.linspace(0, 1, SIZE)[:, None, None]
    image = Image.fromarray(
        (255 * np.broadcast_to(a * ramp + b * (1 - ramp), (SIZE, SIZE, 3))).astype("u1")
    )
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 40))):
        x, y = rng.uniform(-20, SIZE, 2)
        w, h = rng.uniform(8, rng.uniform(20, 180), 2)
        kind = int(rng.integers(4))
        if kind == 0:
            draw.ellipse((x, y, x + w, y + h), fill=_rgb(rng))
        elif kind == 1:
            draw.rectangle((x, y, x + w, y + h), fill=_rgb(rng))
        elif kind == 2:
            corners = [tuple(p) for p in np.array([x, y]) + rng.uniform(0, 90, (3, 2))]
            draw.polygon(corners, fill=_rgb(rng))
        else:
            draw.line(
                (x, y, *rng.uniform(0, SIZE, 2)), _rgb(rng), int(rng.integers(1, 12))
            )
    if rng.random() < 0.4:
        font = ImageFont.load_default(float(rng.uniform(20, 70)))
        draw.text(
            (rng.uniform(0, 60), rng.uniform(0, 200)), _words(rng, 2), _rgb(rng), font
        )
    return np.asarray(image) / 255


def page(rng: Rng) -> np.ndarray:
    """A page or a sign: lines of text on a plain ground."""
    image = Image.new("RGB", (SIZE, SIZE), _rgb(rng) if rng.random() < 0.5 else "white")
    draw, y = ImageDraw.Draw(image), 8.0
    ink = _rgb(rng) if rng.random() < 0.3 else (20, 20, 20)
    while y < SIZE - 10:
        size = float(rng.choice([9, 10, 12, 14, 30, 50]))
        draw.text((10, y), _words(rng, 12), ink, ImageFont.load_default(size))
        y += size * 1.3
    return np.asarray(image) / 255


def books(rng: Rng) -> np.ndarray:
    """Rows of book spines on shelves."""
    picture = np.full((SIZE, SIZE, 3), 0.05)
    shelves = int(rng.integers(1, 5))
    height = SIZE // shelves
    for shelf in range(shelves):
        bottom, x = (shelf + 1) * height - 6, 0
        while x < SIZE - 6:
            width = int(rng.integers(5, 22))
            top = bottom - int(height * rng.uniform(0.55, 0.9))
            round_off = 0.6 + 0.4 * np.sin(np.linspace(0.2, 2.9, width))[None, :, None]
            part = picture[top:bottom, x : x + width]
            part[:] = (colour(rng) * round_off)[:, : part.shape[1]]
            part[8:12] *= 0.6
            x += width
        picture[bottom : bottom + 6] = (0.45, 0.3, 0.2)
    return picture


def facade(rng: Rng) -> np.ndarray:
    """Two to four storeys of windows in a wall; one tile is 12 m square."""
    wall = [plain, bricks, plain, tiles][int(rng.integers(4))](rng)
    floors, bays = int(rng.integers(3, 6)), int(rng.integers(2, 7))
    picture, h, w = wall.copy(), SIZE / floors, SIZE / bays
    frame = colour(rng, saturation=(0, 0.3))
    width, height = rng.uniform(0.35, 0.85), rng.uniform(0.4, 0.8)
    for row in range(floors):
        for bay in range(bays):
            top, left = (
                int(row * h + h * (1 - height) / 2),
                int(bay * w + w * (1 - width) / 2),
            )
            bottom, right = int(top + h * height), int(left + w * width)
            glass = np.linspace(0.12, 0.45, bottom - top)[:, None, None]
            glass = glass * rng.uniform(0.4, 1.3) * np.array([0.85, 0.95, 1.1])
            picture[top - 3 : bottom + 3, left - 3 : right + 3] = frame
            picture[top:bottom, left:right] = np.clip(glass, 0, 1)
            if rng.random() < 0.25:  # curtain or lit room
                picture[top : (top + bottom) // 2, left:right] = colour(
                    rng, (0.05, 0.2)
                )
            middle = (left + right) // 2
            picture[top:bottom, middle - 1 : middle + 1] = frame
    if rng.random() < 0.5:
        for row in range(floors):
            line = int(row * h)
            picture[line : line + 3] *= 0.6
    return picture


def glass_facade(rng: Rng) -> np.ndarray:
    """Curtain wall: a grid of panes reflecting a sky."""
    count = int(rng.choice([4, 6, 8, 12]))
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE * count
    tone = rng.uniform(0.5, 1.1, (count, count))[y.astype(int), x.astype(int)]
    base = colour(rng, (0.5, 0.65), (0.1, 0.5), (0.25, 0.6))
    picture = shaded(base * tone[..., None], (0.15, noise(rng, 2)))
    picture[(y % 1 < 0.07) | (x % 1 < 0.06)] = rng.uniform(0.1, 0.8)
    return picture


def roof(rng: Rng) -> np.ndarray:
    """Overlapping shingles."""
    base = colour(rng, (0, 0.12), (0.05, 0.6), (0.2, 0.6))
    rows = int(rng.choice([8, 12, 16]))
    picture = masonry(rng, rows, rows, base)
    y = np.arange(SIZE) / SIZE * rows % 1
    return picture * (0.6 + 0.4 * y)[:, None, None]


def road(rng: Rng) -> np.ndarray:
    """A road across the width (7 m) with lane lines along the height."""
    base = np.full(3, rng.uniform(0.22, 0.45))
    picture = shaded(base, (0.1, noise(rng, 0.4)), (0.07, noise(rng, 1.6, (3, 1))))
    paint = (
        np.array([0.9, 0.9, 0.88]) if rng.random() < 0.7 else np.array([0.9, 0.7, 0.2])
    )
    wear = rng.uniform(0.6, 1)
    width = int(rng.integers(4, 8))
    dash = slice(0, int(SIZE * rng.uniform(0.4, 1.01)))
    for column in (6, SIZE // 2 - width // 2, SIZE - 6 - width):
        rows = slice(None) if column != SIZE // 2 - width // 2 else dash
        if column == SIZE // 2 - width // 2 or rng.random() < 0.7:
            part = picture[rows, column : column + width]
            part[:] = wear * paint + (1 - wear) * part
    return picture


def leaves(rng: Rng) -> np.ndarray:
    """A clump of leaves with holes between them (RGBA)."""
    scale = 2
    image = Image.new("RGBA", (SIZE * scale, SIZE * scale), (60, 80, 30, 0))
    draw, autumn = ImageDraw.Draw(image), rng.random() < 0.2
    hue = (0.03, 0.15) if autumn else (0.2, 0.36)
    size, thin = rng.uniform(18, 45), rng.uniform(0.15, 0.5)
    for _ in range(int(rng.integers(90, 170))):
        centre = SIZE * scale / 2 + rng.normal(size=2) * SIZE * scale / 5
        turn, length = rng.uniform(0, 6.3), size * rng.uniform(0.7, 1.6)
        along = np.array([np.cos(turn), np.sin(turn)]) * length
        across = np.array([-along[1], along[0]]) * thin
        tint = tuple(int(255 * c) for c in colour(rng, hue, (0.4, 0.8), (0.2, 0.7)))
        points = [centre + along, centre + across, centre - along, centre - across]
        draw.polygon([tuple(p) for p in points], fill=(*tint, 255))
    image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(image) / 255


def blades(rng: Rng) -> np.ndarray:
    """Grass blades rising from the bottom edge (RGBA); row 0 is the top."""
    image = Image.new("RGBA", (SIZE, SIZE), (60, 80, 30, 0))
    draw = ImageDraw.Draw(image)
    hue = (0.12, 0.17) if rng.random() < 0.3 else (0.2, 0.33)
    for _ in range(int(rng.integers(50, 110))):
        x, lean = rng.uniform(10, SIZE - 10), rng.normal() * 35
        top, width = SIZE * rng.uniform(0.05, 0.7), rng.uniform(1.5, 5)
        tint = tuple(int(255 * c) for c in colour(rng, hue, (0.3, 0.7), (0.3, 0.75)))
        draw.polygon(
            [(x - width, SIZE), (x + width, SIZE), (x + lean, top)], fill=(*tint, 255)
        )
    return np.asarray(image) / 255


def stony(rng: Rng) -> np.ndarray:
    """Paving or rubble: cells around random points, tileable."""
    count = int(rng.integers(14, 70))
    points, tone = rng.random((count, 2)), rng.uniform(0.6, 1.1, count)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    offset = np.stack([y, x], -1)[:, :, None] - points
    distance = np.hypot(*np.moveaxis((offset + 0.5) % 1 - 0.5, -1, 0))
    nearest = np.sort(distance, -1)
    base = colour(rng, (0.05, 0.15), (0, 0.3), (0.35, 0.8))
    picture = shaded(
        base * tone[distance.argmin(-1)][..., None], (0.1, noise(rng, 0.8))
    )
    picture[nearest[..., 1] - nearest[..., 0] < 0.02] *= 0.35
    return picture


def door(rng: Rng) -> np.ndarray:
    """A panelled door, handle included."""
    picture = wood(rng, 1) if rng.random() < 0.5 else plain(rng)
    for row in np.linspace(0.06, 0.94, int(rng.integers(2, 5)))[:-1]:
        top, bottom = int(row * SIZE) + 6, int((row + 0.28) * SIZE) - 6
        for left, right in ((30, 118), (138, 226)):
            picture[top:bottom, left:right] *= 0.85
            picture[top : top + 4, left:right] *= 0.6
    picture[126:134, 228:246] = rng.uniform(0.3, 0.9)
    return picture
