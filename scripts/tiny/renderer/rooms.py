"""The shell of a room: walls with openings, windows, doors, pictures, and outside."""

from dataclasses import dataclass, field

import numpy as np
from scene import Scene

SEATS = ("armchair", "sofa", "couch", "chair", "bench", "stool", "puff")
WALL_SIDE = (
    "bookcase",
    "shelves",
    "wardrobe",
    "cupboard",
    "desk",
    "tv stand",
    "dresser",
    "television",
    "cabinet",
    "refrigerator",
    "fridge",
    "piano",
    "fireplace",
    "radiator",
    "washing",
    "oven",
    "stove",
    "vanity",
    "chest",
    "box",
    "safe",
    "plant",
    "sofa",
    "couch",
    "bed",
    "table",
    "lockers",
    "mirror",
)


@dataclass
class Room:
    """An axis-aligned room: x in 0..width, y in 0..depth, z in 0..height."""

    width: float
    depth: float
    height: float
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    windows: list[np.ndarray] = field(default_factory=list)

    def free(self, x, y, half_x, half_y, gap=0.02) -> bool:
        """Whether a footprint lies inside the room and touches nothing."""
        inside = (
            half_x <= x <= self.width - half_x and half_y <= y <= self.depth - half_y
        )
        return inside and all(
            abs(x - a) > half_x + c + gap or abs(y - b) > half_y + d + gap
            for a, b, c, d in self.taken
        )


def build_wall(scene: Scene, start, along, length, height, openings, surface) -> None:
    """A wall 0.15 m thick from ``start``, as boxes around openings.

    Args:
        start: (x, y) of its inner corner.
        along: yaw of its direction; the room lies on the left.
        openings: list of (from, to, bottom, top) in metres along the wall.
    """
    thick = 0.15
    direction = np.array([np.cos(along), np.sin(along)])
    outward = np.array([np.sin(along), -np.cos(along)])

    def piece(a, b, low, high):
        if b - a < 0.01 or high - low < 0.01:
            return
        middle = np.asarray(start) + direction * (a + b) / 2 + outward * thick / 2
        size = (b - a, thick, high - low)
        scene.shape("box", (*middle, low), size, surface, yaw=along)

    cursor = -thick
    for a, b, low, high in sorted(openings):
        piece(cursor, a, 0, height)
        piece(a, b, 0, low)
        piece(a, b, high, height)
        cursor = b
    piece(cursor, length + thick, 0, height)


def window_frame(scene: Scene, start, along, opening, surface) -> None:
    """Bars of a window, and sometimes curtains."""
    a, b, low, high = opening
    direction = np.array([np.cos(along), np.sin(along)])
    outward = np.array([np.sin(along), -np.cos(along)])
    bars = scene.rng.integers(1, 4)

    def bar(u, width, bottom, height, offset=0.08, depth=0.05):
        middle = np.asarray(start) + direction * u + outward * offset
        scene.shape(
            "box", (*middle, bottom), (width, depth, height), surface, yaw=along
        )

    for u in np.linspace(a, b, bars + 1):
        bar(u, 0.06, low, high - low)
    for z in (low, high - 0.06):
        bar((a + b) / 2, b - a, z, 0.06)
    bar((a + b) / 2, b - a + 0.1, low - 0.04, 0.04, offset=-0.05, depth=0.25)
    if scene.rng.random() < 0.4:
        cloth = scene.surface("fabric", plain=0.4, gloss=0.0)
        for u in (a - 0.15, b + 0.15):
            middle = np.asarray(start) + direction * u - outward * 0.08
            size = (0.35, 0.08, high - 0.05)
            scene.shape("cylinder", (*middle, 0.05), size, cloth, yaw=along)


def shell(scene: Scene, room: Room, corridor: bool) -> None:
    """Floor, ceiling and the four walls with doors and windows."""
    rng = scene.rng
    floor = scene.surface("floor", "carpet", plain=0.05)
    ceiling = scene.surface("ceiling", plain=0.5, gloss=0.0)
    groups = ("brick", "wood") if rng.random() < 0.12 else ("wall",)
    paint = scene.surface(*groups, plain=0.3, gloss=float(rng.uniform(0, 0.15)))
    w, d, h = room.width, room.depth, room.height
    scene.span((-0.2, -0.2, -0.2), (w + 0.2, d + 0.2, 0), floor)
    scene.span((-0.2, -0.2, h), (w + 0.2, d + 0.2, h + 0.2), ceiling)
    frame = scene.surface("wood", plain=0.5)
    sides = [((0, 0), 0.0, w), ((w, 0), np.pi / 2, d), ((w, d), np.pi, w),
             ((0, d), -np.pi / 2, d)]  # fmt: skip
    windowed = rng.random(4) < (0.12 if corridor else 0.42)
    for number, (start, along, length) in enumerate(sides):
        wall = paint if rng.random() < 0.8 else scene.surface("wall", "brick", "wood")
        openings, doors = [], []
        cursor = rng.uniform(0.3, 1.2)
        while cursor < length - 1.3:
            if windowed[number]:
                b = min(cursor + rng.uniform(0.7, 2.6), length - 0.25)
                low = 0.02 if rng.random() < 0.2 else rng.uniform(0.5, 1.1)
                opening = (cursor, b, low, min(h - 0.15, rng.uniform(1.9, 2.5)))
                openings.append(opening)
                window_frame(scene, start, along, opening, frame)
                cursor = b + rng.uniform(0.4, 1.5)
            elif rng.random() < (0.6 if corridor else 0.25) and h > 2.15:
                b = cursor + rng.uniform(0.8, 1.1)
                doors.append((cursor, b, 0, 2.05))
                cursor = b + rng.uniform(0.8, 3)
            else:
                cursor += rng.uniform(1.0, 2.5)
        for door in doors:
            if place_door(scene, room, start, along, door, frame):
                openings.append(door)
        build_wall(scene, start, along, length, h, openings, wall)
        direction = np.array([np.cos(along), np.sin(along)])
        inward = np.array([-np.sin(along), np.cos(along)])
        for a, b, low, high in openings:
            if low > 0 or windowed[number]:
                middle = np.asarray(start) + direction * (a + b) / 2 + inward * 0.4
                room.windows.append(np.array([*middle, (low + high) / 2]))
        hang_pictures(scene, start, along, length, h, openings + doors)
        if rng.random() < 0.6:  # skirting board
            for a, b in gaps(openings + doors, length):
                middle = np.asarray(start) + direction * (a + b) / 2 + inward * 0.01
                size = (b - a, 0.025, 0.09)
                scene.shape("box", (*middle, 0), size, frame, yaw=along)


def gaps(openings, length):
    """The stretches of a wall that reach the floor."""
    cursor = 0.0
    for a, b, low, _ in sorted(openings):
        if low < 0.1:
            yield cursor, a
            cursor = b
    yield cursor, length


def place_door(scene, room, start, along, opening, frame) -> bool:
    """A closed door on the wall, or an open one into a lit room behind it."""
    rng = scene.rng
    a, b, _, top = opening
    direction = np.array([np.cos(along), np.sin(along)])
    outward = np.array([np.sin(along), -np.cos(along)])
    middle = np.asarray(start) + direction * (a + b) / 2
    for u in (a - 0.04, b + 0.04):
        post = np.asarray(start) + direction * u - outward * 0.015
        scene.shape("box", (*post, 0), (0.08, 0.05, top + 0.04), frame, yaw=along)
    lintel = (*(middle - outward * 0.015), top)
    scene.shape("box", lintel, (b - a + 0.16, 0.05, 0.08), frame, yaw=along)
    leaf = scene.surface("door", plain=0.2, box=False, tile=1.0)
    if rng.random() < 0.6:
        centre = middle - outward * 0.012
        scene.shape("box", (*centre, 0), (b - a, 0.03, top), leaf, yaw=along)
        return False
    hinge = np.asarray(start) + direction * a + outward * 0.2
    turn = along + rng.uniform(-2.0, -0.9)
    centre = hinge + np.array([np.cos(turn), np.sin(turn)]) * (b - a) / 2
    scene.shape("box", (*centre, 0), (b - a, 0.04, top), leaf, yaw=turn)
    behind_door(scene, middle, outward, along)
    return True


def behind_door(scene: Scene, middle, outward, along) -> None:
    """A plain room beyond an open door: floor, walls, ceiling and one thing."""
    rng = scene.rng
    reach, half, height = rng.uniform(1.5, 7), rng.uniform(0.8, 2.5), 2.6
    wall, floor = scene.surface("wall", plain=0.4), scene.surface("floor")
    direction = np.array([np.cos(along), np.sin(along)])
    centre = middle + outward * (0.15 + reach / 2)
    scene.shape("box", (*centre, -0.2), (2 * half, reach, 0.19), floor, yaw=along)
    scene.shape("box", (*centre, height), (2 * half, reach, 0.1), wall, yaw=along)
    for side in (-1, 1):
        at = centre + direction * side * (half + 0.05)
        scene.shape("box", (*at, -0.1), (0.1, reach, height + 0.1), wall, yaw=along)
    back = middle + outward * (0.15 + reach)
    scene.shape("box", (*back, -0.1), (2 * half, 0.1, height + 0.1), wall, yaw=along)
    thing = scene.titled(*SEATS, *WALL_SIDE, most=2.2)
    if thing is not None and reach > 2.5:
        at = middle + outward * (reach - 0.6)
        scene.furniture(thing, (*at, 0), along + np.pi * (rng.random() < 0.5))
    scene.light.lamps.append(
        (np.array([*centre, height - 0.4]), 0.3, rng.uniform(0.3, 2) * np.ones(3))
    )


def hang_pictures(scene: Scene, start, along, length, height, openings) -> None:
    """Framed pictures where the wall has no opening."""
    rng = scene.rng
    if height < 2.1 or rng.random() < 0.35:
        return
    direction = np.array([np.cos(along), np.sin(along)])
    inward = np.array([-np.sin(along), np.cos(along)])
    for _ in range(int(rng.integers(1, 5))):
        w, h = rng.uniform(0.25, 1.3), rng.uniform(0.25, 1.0)
        u = rng.uniform(w / 2 + 0.1, max(length - w / 2 - 0.1, w / 2 + 0.11))
        if any(a - w / 2 - 0.2 < u < b + w / 2 + 0.2 for a, b, *_ in openings):
            continue
        z = min(rng.uniform(1.2, 1.6), height - h - 0.1)
        at = np.asarray(start) + direction * u
        frame = scene.surface("wood", plain=0.6, gloss=0.2)
        centre = at + inward * 0.012
        scene.shape(
            "box", (*centre, z - 0.03), (w + 0.06, 0.024, h + 0.06), frame, along
        )
        print_ = scene.surface(
            "picture", plain=0.0, tint=(1, 1, 1), box=False, tile=1.0
        )
        scene.wall_quad((*(at + inward * 0.026), z), w, h, along + np.pi, print_)


def outside(scene: Scene, room: Room) -> None:
    """Ground, trees and houses seen through windows."""
    rng = scene.rng
    storey = -rng.choice([0.3, 0.3, 3.5, 9, 20])
    ground = scene.surface("ground", "grass", "pavement", plain=0)
    scene.shape(
        "ground", (room.width / 2, room.depth / 2, storey), (300, 300, 1), ground
    )
    for _ in range(int(rng.integers(3, 12))):
        turn, far = rng.uniform(0, 6.3), rng.uniform(8, 40)
        at = np.array([room.width / 2, room.depth / 2]) + far * np.array(
            [np.cos(turn), np.sin(turn)]
        )
        if rng.random() < 0.6:
            scene.furniture(scene.pick("tree"), (*at, storey), 0, rng.uniform(4, 12))
        else:
            size = rng.uniform(5, 15, 3)
            wall = scene.surface("facade", plain=0)
            scene.shape("box", (*at, storey), size, wall, rng.uniform(0, 6.3))
