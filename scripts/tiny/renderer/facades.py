"""Fronts of buildings seen from the street before them, mostly looking up."""

import numpy as np
from outdoor import CARS, STREET_ITEMS, aim, daylight, greenery
from scene import Scene, Surface, random_look

STONE = ("facade_plain", "brick", "stone", "concrete")


def facade_view(scene: Scene) -> None:
    """A front with windows set into it, its neighbours, and what stands before it."""
    rng = scene.rng
    scene.look = random_look(rng)
    scene.look.key *= float(rng.uniform(0.6, 1.0))
    daylight(scene)
    floor = scene.surface("pavement", "road", "stone", plain=0.05)
    scene.shape("ground", (0, 0, 0), (900, 900, 1), floor)
    distance = float(np.exp(rng.uniform(np.log(2.5), np.log(25))))
    x, height = -rng.uniform(6, 40), rng.choice([5, 9, 16, 30, 60])
    while x < 45:
        width = rng.uniform(8, 34)
        # Close to one another's line, or a step before or behind it.
        back = distance + rng.normal(0, 0.15 if rng.random() < 0.6 else 1.5)
        tall = height * rng.uniform(0.6, 1.4) + 2
        front(scene, x, x + width, max(back, 1.5), tall)
        x += width + (rng.uniform(1, 9) if rng.random() < 0.15 else 0.0)
    before(scene, distance)
    eye = float(rng.choice([rng.uniform(0.4, 1.2), rng.uniform(1.4, 1.9)]))
    up = rng.uniform(0.0, 0.75) if rng.random() < 0.7 else rng.normal(0, 0.1)
    yaw = rng.normal(0, 0.25) if rng.random() < 0.6 else rng.uniform(-1.1, 1.1)
    aim(scene, (rng.uniform(-4, 4), 0, eye), yaw, up)


def front(scene: Scene, left, right, y, height) -> None:
    """A building whose front is the plane `y`, its windows behind piers and bands."""
    rng = scene.rng
    wall = scene.surface(*STONE, plain=0.12)
    if rng.random() < 0.2:  # a flat front, painted or of glass: its windows are drawn
        flat = scene.surface("facade", plain=0.0)
        scene.span((left, y, 0), (right, y + 12, height), flat)
        return
    deep = rng.uniform(0.08, 0.45)
    tint = tuple(rng.uniform(0.05, 0.3) * rng.uniform(0.8, 1.2, 3))
    glass = Surface(tint=tint, gloss=float(rng.uniform(0.3, 0.9)))
    trim = wall if rng.random() < 0.5 else scene.surface("concrete", plain=0.6)
    scene.span((left, y + deep, 0), (right, y + 12, height), glass)
    storey, base = rng.uniform(2.8, 4.0), rng.uniform(3.0, 5.0)
    bay = rng.uniform(1.8, 4.5)
    bays = min(max(2, int((right - left) / bay)), 14)
    floors = min(max(1, int((height - base) / storey)), 14)
    storey = max((height - base) / floors, 1.0)
    solid, sill = rng.uniform(0.25, 0.65), rng.uniform(0.2, 0.5)
    step = (right - left) / bays
    for edge in np.linspace(left, right, bays + 1):
        low, high = edge - solid * step / 2, edge + solid * step / 2
        scene.span((max(low, left), y, 0), (min(high, right), y + deep, height), wall)
    for floor in range(floors + 1):
        z = base + floor * storey
        scene.span((left, y, z - 0.2), (right, y + deep, z + sill * storey), wall)
    out = rng.uniform(0.05, 0.7)
    scene.span((left, y - out, height), (right, y + 12, height + 0.4), trim)
    details(scene, (left, right, bays), y, (base, storey, floors), deep, trim)


def details(scene: Scene, across, y, upward, deep, trim) -> None:
    """Window bars, cornices, balconies, a door and shop signs of a front."""
    rng = scene.rng
    left, right, bays = across
    base, storey, floors = upward
    step = (right - left) / bays
    if rng.random() < 0.6:  # a bar in every column of windows
        for middle in left + step * (np.arange(bays) + 0.5):
            low = (middle - 0.04, y + deep - 0.06, base)
            scene.span(low, (middle + 0.04, y + deep, base + floors * storey), trim)
    if rng.random() < 0.6:
        for floor in range(floors):
            z, out = base + floor * storey, rng.uniform(0.05, 0.2)
            scene.span((left, y - out, z - 0.1), (right, y, z + 0.1), trim)
    if rng.random() < 0.4 and bays * floors < 60:
        balconies(scene, across, y, upward, trim)
    door = scene.surface("door", "garage", plain=0.3, box=False, tile=1.0)
    at = (left + step * (int(rng.integers(bays)) + 0.5), y - 0.03, 0)
    scene.shape("box", at, (rng.uniform(1.0, 2.4), 0.1, rng.uniform(2.1, 2.8)), door)
    if rng.random() < 0.4:
        sign = scene.surface("picture", plain=0.2, box=False, tile=1.0)
        for middle in left + step * (np.arange(bays) + 0.5):
            low = (middle - 0.4 * step, y - 0.15, base - 0.9)
            scene.span(low, (middle + 0.4 * step, y, base - 0.3), sign)
    if rng.random() < 0.25:
        cloth = scene.surface("fabric", plain=0.4)
        out, z = rng.uniform(0.8, 1.8), min(base - 1, 2.7)
        scene.span((left + 0.3, y - out, z), (right - 0.3, y, z + 0.08), cloth)


def balconies(scene: Scene, across, y, upward, trim) -> None:
    """A slab and a railing before every second or every window."""
    rng = scene.rng
    left, right, bays = across
    base, storey, floors = upward
    step, out = (right - left) / bays, rng.uniform(0.5, 1.5)
    rail = scene.surface("metal", plain=0.7)
    for column in range(0, bays, int(rng.integers(1, 3))):
        low, high = left + step * (column + 0.1), left + step * (column + 0.9)
        for floor in range(floors):
            z = base + floor * storey
            scene.span((low, y - out, z - 0.12), (high, y, z + 0.05), trim)
            scene.span((low, y - out, z + 0.9), (high, y - out + 0.05, z + 0.97), rail)
            for x in np.linspace(low, high - 0.04, 6):
                scene.span((x, y - out, z), (x + 0.04, y - out + 0.04, z + 0.9), rail)


def before(scene: Scene, distance: float) -> None:
    """People, cars, lamps and trees between the camera and the front."""
    rng = scene.rng
    for _ in range(int(rng.integers(0, 9))):
        choices = (
            scene.pick("Characters"),
            scene.titled(*STREET_ITEMS),
            scene.titled(*CARS),
        )
        number = choices[int(rng.choice(3, p=[0.45, 0.35, 0.2]))]
        if number is None:
            continue
        room = distance - scene.pack.models[number].size.max()
        if room > 1.5:
            at = (rng.uniform(-0.6, 0.6) * distance, rng.uniform(1.5, room), 0)
            scene.furniture(number, at, rng.uniform(0, 6.3), recolour=0.5)
    if rng.random() < 0.35 and distance > 6:
        tree = scene.pick("tree")
        for x in np.arange(-18, 18, rng.uniform(5, 10)) + rng.uniform(0, 4):
            at = (x, distance * rng.uniform(0.4, 0.7), 0)
            scene.furniture(tree, at, rng.uniform(0, 6.3), rng.uniform(4, 8))
    elif rng.random() < 0.2:
        greenery(scene, int(rng.integers(1, 6)))
