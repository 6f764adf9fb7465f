"""Rooms, corridors and halls: furniture, lamps, light and the camera."""

import numpy as np
from rooms import SEATS, WALL_SIDE, Room, outside, shell
from scene import Light, Scene, look, random_look

LOOSE = ("Kitchen", "Office", "Miscellaneous", "Living room", "Lights")
TABLES = ("table", "desk", "coffee table")
FLOOR_ITEMS = ("plant", "ficus", "basket", "box", "suitcase", "lamp", "vase", "bin",
               "dustbin", "toy", "dog", "cat", "ball", "speaker", "fan", "umbrella",
               "cardboard", "stroller", "ladder", "barrel", "crate")  # fmt: skip


def furnish(scene: Scene, room: Room, amount: int) -> None:
    """Furniture along the walls, in the middle, on tables and on the floor."""
    rng = scene.rng
    for _ in range(amount):
        model = scene.titled(*WALL_SIDE)
        if rng.random() < 0.2:
            model = scene.small("Living room", "Bedroom", "Office", "Bathroom", most=9)
        against_wall(scene, room, model)
    if rng.random() < 0.25:
        bookshelf(scene, room)
    for _ in range(int(rng.integers(0, 3))):
        table_group(scene, room)
    if rng.random() < 0.12:
        cartons(scene, room)
    for _ in range(int(rng.integers(0, 5))):
        model = scene.titled(*FLOOR_ITEMS, most=2.2)
        stand(scene, room, model)
    if rng.random() < 0.3:
        stand(scene, room, scene.pick("Characters"))


def against_wall(scene: Scene, room: Room, number: int | None) -> None:
    """Puts a piece with its back to a random wall, if it fits."""
    rng = scene.rng
    if number is None:
        return
    model = scene.pack.models[number]
    w, d, h = model.size
    if h + model.elevation > room.height - 0.05:
        return
    for _ in range(4):
        side = int(rng.integers(4))
        half = (w / 2, d / 2) if side % 2 == 0 else (d / 2, w / 2)
        x = rng.uniform(half[0], max(room.width - half[0], half[0] + 0.01))
        y = rng.uniform(half[1], max(room.depth - half[1], half[1] + 0.01))
        gap = 0.02
        x, y = [(x, half[1] + gap), (room.width - half[0] - gap, y),
                (x, room.depth - half[1] - gap), (half[0] + gap, y)][side]  # fmt: skip
        if room.free(x, y, *half, gap=0.0):
            room.taken.append((x, y, *half))
            yaw = np.pi + side * np.pi / 2 + rng.normal(0, 0.03)
            scene.furniture(number, (x, y, model.elevation), yaw)
            if 0.3 < h < 1.3 and rng.random() < 0.6:
                things_on(scene, x, y, half, h + model.elevation)
            return


def table_group(scene: Scene, room: Room) -> None:
    """A table with chairs around it and things on it."""
    rng = scene.rng
    number = scene.titled(*TABLES, most=2.4)
    if number is None:
        return
    w, d, h = scene.pack.models[number].size
    x, y = rng.uniform(0, room.width), rng.uniform(0, room.depth)
    if not room.free(x, y, w / 2 + 0.3, d / 2 + 0.3):
        return
    yaw = float(rng.choice([0, np.pi / 2])) + rng.normal(0, 0.08)
    turned = abs(np.sin(yaw)) > 0.7
    half = (d / 2, w / 2) if turned else (w / 2, d / 2)
    scene.furniture(number, (x, y, 0), yaw)
    if rng.random() < 0.4:
        rug = scene.surface("carpet", "fabric", plain=0.1, gloss=0.0)
        size = (half[0] * 2 + 1, half[1] * 2 + 1, 0.012)
        scene.shape("box", (x, y, 0), size, rug, yaw=0)
    things_on(scene, x, y, half, h)
    chair = scene.titled("chair", "stool", most=1.3)
    room.taken.append((x, y, half[0] + 0.2, half[1] + 0.2))
    if chair is None:
        return
    for side in range(4):
        if rng.random() < 0.3:
            continue
        out = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]][side], float)
        at = np.array([x, y]) + out * (np.array(half) + rng.uniform(0.15, 0.45))
        if 0.3 < at[0] < room.width - 0.3 and 0.3 < at[1] < room.depth - 0.3:
            turn = np.pi + side * np.pi / 2 + rng.normal(0, 0.25)
            scene.furniture(chair, (*at, 0), turn, recolour=0)


def things_on(scene: Scene, x, y, half, z) -> None:
    """Small objects on a surface at height z."""
    rng = scene.rng
    for _ in range(int(rng.integers(1, 6))):
        number = scene.small(*LOOSE, most=0.5)
        if number is None:
            return
        at = (
            x + rng.uniform(-0.8, 0.8) * half[0],
            y + rng.uniform(-0.8, 0.8) * half[1],
            z,
        )
        scene.furniture(number, at, rng.uniform(0, 6.3))


def bookshelf(scene: Scene, room: Room) -> None:
    """A shelf full of books along the far wall."""
    rng = scene.rng
    width = rng.uniform(0.8, max(0.9, min(4.0, room.width - 0.4)))
    height, x = rng.uniform(0.9, room.height - 0.1), rng.uniform(0, room.width)
    y = room.depth - 0.16
    if not room.free(x, y, width / 2, 0.15, gap=0.0):
        return
    room.taken.append((x, y, width / 2, 0.15))
    wood = scene.surface("wood", plain=0.4)
    spines = scene.surface("books", plain=0.0, gloss=0.1)
    scene.shape("box", (x, y + 0.03, 0), (width - 0.04, 0.2, height - 0.03), spines)
    for side in (-1, 1):
        at = (x + side * width / 2, y, 0)
        scene.shape("box", at, (0.04, 0.3, height), wood)
    for z in np.linspace(0, height - 0.03, int(height / 0.35) + 1):
        scene.shape("box", (x, y, z), (width, 0.3, 0.03), wood)


def cartons(scene: Scene, room: Room) -> None:
    """A stack of boxes on the floor."""
    rng = scene.rng
    x, y = rng.uniform(0, room.width), rng.uniform(0, room.depth)
    if not room.free(x, y, 0.5, 0.5):
        return
    room.taken.append((x, y, 0.5, 0.5))
    z, card = 0.0, scene.surface("carton", plain=0.1, gloss=0.0)
    for _ in range(int(rng.integers(1, 6))):
        size = rng.uniform((0.3, 0.3, 0.2), (0.7, 0.6, 0.5))
        if z + size[2] < room.height - 0.1:
            place = (*(np.array([x, y]) + rng.normal(0, 0.05, 2)), z)
            scene.shape("box", place, size, card, rng.normal(0, 0.3))
            z += size[2]


def stand(scene: Scene, room: Room, number: int | None) -> None:
    """Puts a free-standing thing somewhere on the floor."""
    rng = scene.rng
    if number is None:
        return
    model = scene.pack.models[number]
    half = float(max(model.size[:2])) / 2
    for _ in range(4):
        x, y = rng.uniform(0, room.width), rng.uniform(0, room.depth)
        if model.size[2] < room.height and room.free(x, y, half, half):
            room.taken.append((x, y, half, half))
            scene.furniture(number, (x, y, 0), rng.uniform(0, 6.3))
            return


def structure(scene: Scene, room: Room) -> None:
    """Columns, beams and ceiling lamps."""
    rng = scene.rng
    if rng.random() < 0.15 and min(room.width, room.depth) > 4:
        surface = scene.surface("concrete", "stone", "wall")
        for x in np.arange(2, room.width - 1, 3.0):
            for y in np.arange(2, room.depth - 1, 3.5):
                shape = "box" if rng.random() < 0.7 else "cylinder"
                if room.free(x, y, 0.2, 0.2):
                    room.taken.append((x, y, 0.2, 0.2))
                    scene.shape(shape, (x, y, 0), (0.35, 0.35, room.height), surface)
    if rng.random() < 0.15 and room.height > 2.5:
        beam = scene.surface("wood")
        for y in np.arange(0.6, room.depth, rng.uniform(0.7, 1.6)):
            low = (0, y, room.height - 0.2)
            scene.span(low, (room.width, y + 0.15, room.height), beam)


def lamps(scene: Scene, room: Room) -> list[np.ndarray]:
    """Visible ceiling lamps; returns their positions."""
    rng = scene.rng
    spots, step = [], rng.uniform(2, 4)
    xs = np.arange(room.width / 2 % step, room.width, step)
    ys = np.arange(room.depth / 2 % step, room.depth, step)
    kind = int(rng.integers(4))
    glow = scene.surface(
        plain=1.0, tint=(1, 1, 0.95), emission=float(rng.uniform(2, 9))
    )
    for x in xs[:6]:
        for y in ys[:8]:
            top = room.height
            if kind == 0:
                scene.span(
                    (x - 0.3, y - 0.3, top - 0.02), (x + 0.3, y + 0.3, top), glow
                )
            elif kind == 1:
                scene.span(
                    (x - 0.08, y - 0.6, top - 0.07), (x + 0.08, y + 0.6, top), glow
                )
            elif kind == 2:
                drop = rng.uniform(0.2, 0.7)
                scene.shape("sphere", (x, y, top - drop), (0.3, 0.3, 0.3), glow)
                scene.shape("cylinder", (x, y, top - drop), (0.01, 0.01, drop), glow)
            spots.append(np.array([x, y, top - 0.25]))
    return spots


def light_room(scene: Scene, room: Room, spots: list[np.ndarray]) -> None:
    """Sun through the windows, or a lamp; soft light from windows; bounce."""
    rng = scene.rng
    warm = np.array([1, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.0)])
    day = bool(room.windows) and rng.random() < 0.8
    light = scene.light
    light.fog = (0.5, 0.5, 0.5, 0.0)
    light.occlusion = (float(rng.uniform(0.3, 0.9)), float(rng.uniform(1.0, 2.4)))
    base = rng.uniform(0.12, 0.5)
    light.sky = base * np.array([0.95, 1, 1.05]) * (0.9 + 0.1 * warm)
    light.ground = base * rng.uniform(0.5, 1.0) * warm
    if day:
        turn, height = rng.uniform(0, 6.3), rng.uniform(0.25, 1.0)
        light.key = np.array([np.cos(turn), np.sin(turn), height])
        light.key_colour = rng.uniform(2, 9) * np.array([1, 0.93, 0.82])
        light.shadow_reach = float(max(room.width, room.depth)) * 0.8 + 1
        windows = list(room.windows)
        rng.shuffle(windows)
        for position in windows[:3]:
            colour = rng.uniform(0.5, 2.5) * np.array([0.9, 1, 1.1])
            light.lamps.insert(0, (position, 0.8, colour))
        bright = rng.uniform(0.8, 3)
    else:
        spot = spots[int(rng.integers(len(spots)))] if spots else np.array(
            [room.width / 2, room.depth / 2, room.height - 0.3])  # fmt: skip
        light.key, light.key_is_lamp = spot, True
        light.key_colour = rng.uniform(2, 7) * warm
        bright = rng.choice([0.02, 0.3, 1.0])
    for spot in spots[:2]:
        if rng.random() < 0.5:
            light.lamps.insert(0, (spot, 0.3, rng.uniform(0.5, 2.5) * warm))
    light.horizon = bright * np.array([0.85, 0.92, 1.0])
    light.zenith = bright * np.array([0.35, 0.55, 0.95])
    light.clouds = (float(rng.uniform(0, 1)), 1.0, bright, float(rng.uniform(0, 99)))


def aim(scene: Scene, room: Room) -> None:
    """A camera somewhere in the room that looks along its longer way."""
    rng = scene.rng
    for _ in range(30):
        x, y = (
            rng.uniform(0.25, room.width - 0.25),
            rng.uniform(0.25, room.depth - 0.25),
        )
        if room.free(x, y, 0.15, 0.15):
            break
    height = min(float(rng.choice([rng.uniform(0.3, 1.0), rng.uniform(1.2, 1.8),
                                   rng.uniform(1.2, 1.8), rng.uniform(1.6, 2.6)])),
                 room.height - 0.2)  # fmt: skip
    target = np.array([rng.uniform(0, room.width), rng.uniform(0, room.depth)])
    corner = np.array(
        [room.width * (x < room.width / 2), room.depth * (y < room.depth / 2)]
    )
    target = 0.45 * target + 0.55 * corner
    if room.depth > 2.5 * room.width and rng.random() < 0.7:  # along a corridor
        y = rng.uniform(0.3, 0.35 * room.depth)
        target = np.array([rng.uniform(0, room.width), room.depth])
    yaw = np.arctan2(-(target[0] - x), target[1] - y) + rng.normal(0, 0.2)
    pitch = rng.normal(-0.12, 0.16) - 0.25 * (height - 1.4) * rng.random()
    roll = rng.normal(0, 0.03) if rng.random() < 0.8 else rng.normal(0, 0.2)
    focal = float(np.exp(rng.uniform(np.log(0.5), np.log(1.3))))
    scene.camera = look((x, y, height), yaw, pitch, roll, focal)


def indoor(scene: Scene) -> None:
    """Fills the scene with a room."""
    rng = scene.rng
    scene.look = random_look(rng)
    scene.light = Light(np.array([0.0, 0.0, 1.0]), np.ones(3))
    kind = rng.choice(["room", "corridor", "hall", "bare"], p=[0.54, 0.19, 0.08, 0.19])
    if kind == "corridor":
        room = Room(rng.uniform(1.2, 2.8), rng.uniform(6, 25), rng.uniform(2.3, 3.5))
    elif kind == "hall":
        room = Room(*rng.uniform(7, 22, 2), rng.uniform(3, 8))
    else:
        room = Room(*rng.uniform(2.4, 7.5, 2), rng.uniform(2.2, 3.4))
    shell(scene, room, kind == "corridor")
    structure(scene, room)
    spots = lamps(scene, room)
    area = room.width * room.depth
    if kind == "room":
        furnish(scene, room, int(min(14, 2 + area * rng.uniform(0.15, 0.6))))
    elif kind == "hall":
        furnish(scene, room, int(rng.integers(4, 25)))
    elif kind == "corridor":
        for _ in range(int(rng.integers(0, 5))):
            stand(scene, room, scene.titled(*FLOOR_ITEMS, *SEATS, most=1.5))
    if room.windows:
        outside(scene, room)
    aim(scene, room)
    light_room(scene, room, spots)
