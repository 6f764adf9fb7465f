"""Close-ups: things on tables, tables from above, plants, things outdoors."""

import numpy as np
from outdoor import daylight
from rooms import SEATS, WALL_SIDE
from scene import Light, Scene, look, random_look, turn_any

TABLE_TOP = ("Kitchen", "Office", "Miscellaneous", "Living room", "Lights", "Bedroom",
             "Bathroom")  # fmt: skip
FLOWERS = ("tulip", "lily", "orchid", "plant", "flower", "rose", "bonsai", "cactus",
           "spathi", "bamboo")  # fmt: skip


def backdrop(scene: Scene) -> None:
    """Walls around a table, some way off, with a few pieces of furniture."""
    rng = scene.rng
    floor = scene.surface("floor", "carpet")
    scene.span((-6, -6, -0.1), (6, 8, 0), floor)
    wall = scene.surface("wall", "brick", "wood", plain=0.25)
    near, high = rng.uniform(0.6, 5), 3.0
    scene.span((-6, near, 0), (6, near + 0.2, high), wall)
    side = rng.uniform(1.0, 5)
    for sign in (-1, 1):
        xs = sorted((sign * side, sign * (side + 0.2)))
        scene.span((xs[0], -6, 0), (xs[1], 8, high), wall)
    scene.span((-6, -6, high), (6, 8, high + 0.1), scene.surface("ceiling"))
    for _ in range(int(rng.integers(0, 5))):
        number = scene.titled(*WALL_SIDE, *SEATS, most=2.2)
        if number is not None and near > 1.6:
            depth = scene.pack.models[number].size[1]
            at = (rng.uniform(-side + 0.6, side - 0.5), near - depth / 2 - 0.05, 0)
            scene.furniture(number, at, np.pi)
    if rng.random() < 0.6:
        print_ = scene.surface("picture", plain=0, tint=(1, 1, 1), box=False, tile=1.0)
        w, h = rng.uniform(0.3, 1.4, 2)
        scene.wall_quad(
            (rng.normal(0, 0.6), near - 0.01, rng.uniform(0.9, 1.5)), w, h, 0, print_
        )


def studio_light(scene: Scene) -> None:
    """One key light from above, weak fill: a lamp or a window out of view."""
    rng = scene.rng
    warm = np.array([1, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.05)])
    light = Light(np.zeros(3), np.ones(3))
    if rng.random() < 0.6:
        light.key, light.key_is_lamp = rng.uniform((-1, -1, 1.6), (1, 1, 2.7)), True
        light.key_colour = rng.uniform(2, 6) * warm
    else:
        turn = rng.uniform(0, 6.3)
        light.key = np.array([np.cos(turn), np.sin(turn), rng.uniform(0.5, 2)])
        light.key_colour = rng.uniform(0.8, 3) * warm
        light.shadow_reach = 2.5
    base = rng.uniform(0.12, 0.6)
    light.sky, light.ground = base * np.ones(3), base * rng.uniform(0.4, 0.9) * warm
    light.occlusion = (float(rng.uniform(0.08, 0.3)), float(rng.uniform(1.0, 2.4)))
    for _ in range(int(rng.integers(0, 3))):
        position = rng.uniform((-2, -2, 0.8), (2, 2, 2.5))
        light.lamps.append((position, 0.4, rng.uniform(0.2, 1.2) * warm))
    scene.light = light


def table(scene: Scene, flat: bool) -> tuple[float, np.ndarray]:
    """A table top with objects; returns its height and the place of the main one."""
    rng = scene.rng
    height = rng.uniform(0.4, 0.95)
    w, d = rng.uniform(0.6, 2.4), rng.uniform(0.5, 1.2)
    if flat and rng.random() < 0.5:  # wider than the view: no edge tells its height
        w, d = rng.uniform(2.0, 3.5), rng.uniform(1.6, 2.5)
    top = scene.surface("wood", "stone", "fabric", "metal", plain=0.25)
    if rng.random() < 0.85:
        scene.span((-w / 2, -d / 2, height - 0.05), (w / 2, d / 2, height), top)
        for x in (-w / 2 + 0.05, w / 2 - 0.05):
            for y in (-d / 2 + 0.05, d / 2 - 0.05):
                scene.shape("box", (x, y, 0), (0.06, 0.06, height - 0.05), top)
    else:
        scene.shape("cylinder", (0, 0, height - 0.08), (w, w, 0.08), top)
        scene.shape("cylinder", (0, 0, 0), (0.15, 0.15, height - 0.05), top)
    for _ in range(int(rng.integers(0, 4))):  # papers, mats, books
        size = (
            rng.uniform(0.1, 0.4),
            rng.uniform(0.1, 0.4),
            rng.choice([0.002, 0.02, 0.05]),
        )
        at = (*rng.uniform(-0.4, 0.4, 2) * (w, d), height)
        cover = scene.surface("picture", "page", "fabric", box=False, tile=1.0)
        scene.shape("box", at, size, cover, rng.uniform(0, 6.3))
    main = np.array([*rng.uniform(-0.2, 0.2, 2) * (w, d), height])
    taken = []
    for count in range(int(rng.integers(4, 40) if flat else rng.integers(2, 16))):
        number = scene.small(*TABLE_TOP, most=0.55)
        model = scene.pack.models[number]
        if flat and model.size[2] > 0.35:
            continue
        radius = float(np.hypot(*model.size[:2])) / 2.4
        at = (
            main
            if count == 0
            else np.array([*rng.uniform(-0.48, 0.48, 2) * (w, d), height])
        )
        if all(np.hypot(*(at[:2] - p[:2])) > radius + r for p, r in taken):
            taken.append((at, radius))
            scene.furniture(number, at, rng.uniform(0, 6.3))
    return height, main


def table_view(scene: Scene) -> None:
    """Objects on a table seen as a seated person sees them."""
    rng = scene.rng
    studio_light(scene)
    backdrop(scene)
    height, main = table(scene, flat=False)
    distance = np.exp(rng.uniform(np.log(0.35), np.log(1.5)))
    pitch = -rng.uniform(0.1, 1.0)
    yaw = rng.normal(0, 0.6)
    focus(scene, main + np.array([0, 0, 0.06]), distance, yaw, pitch)
    scene.camera.position[2] = max(scene.camera.position[2], height + 0.12)


def top_view(scene: Scene) -> None:
    """A flat table from above."""
    rng = scene.rng
    studio_light(scene)
    scene.span((-4, -4, -0.1), (4, 4, 0), scene.surface("floor", "carpet"))
    for _ in range(int(rng.integers(0, 4))):
        chair = scene.titled("chair", "stool", most=1.3)
        if chair is not None:
            turn = rng.uniform(0, 6.3)
            scene.furniture(chair, (1.1 * np.cos(turn), 1.1 * np.sin(turn), 0), turn)
    _, main = table(scene, flat=True)
    distance = rng.uniform(0.35, 1.5)
    focus(scene, main, distance, rng.uniform(0, 6.3), -rng.uniform(1.1, np.pi / 2))


def focus(scene: Scene, target, distance, yaw, pitch) -> None:
    """A camera ``distance`` away that looks at a point, with some play."""
    rng = scene.rng
    focal = float(np.exp(rng.uniform(np.log(0.65), np.log(1.8))))
    roll = rng.normal(0, 0.05)
    camera = look(np.zeros(3), yaw, pitch, roll, focal)
    offset = rng.normal(0, 0.08, 2) * distance
    camera.position = np.asarray(target) + camera.rotation @ np.array(
        [*offset, distance]
    )
    scene.camera = camera


def flowers(scene: Scene) -> None:
    """A plant at arm's length before a garden, mostly with a blurred background."""
    rng = scene.rng
    daylight(scene)
    ground = scene.surface("grass", "soil", "ground", plain=0, gloss=0)
    scene.shape("ground", (0, 0, 0), (800, 800, 1), ground)
    for _ in range(int(rng.integers(4, 40))):
        turn, far = rng.uniform(0, 6.3), np.exp(rng.uniform(np.log(1.5), np.log(40)))
        number = scene.pick("tree", "bush", "bush")
        tree = scene.pack.models[number].category == "tree"
        scale = rng.uniform(3, 9) if tree else rng.uniform(0.4, 1.5)
        scene.furniture(number, (far * np.cos(turn), far * np.sin(turn), 0), 0, scale)
    height = 0.0
    for _ in range(int(rng.integers(1, 6))):
        number = scene.titled(*FLOWERS, most=1.3)
        if number is not None:
            scale = rng.uniform(0.6, 1.2)
            at = (*rng.normal(0, 0.12, 2), 0)
            scene.furniture(number, at, rng.uniform(0, 6.3), scale)
            height = max(height, scale * scene.pack.models[number].size[2])
    target = (0, 0, height * rng.uniform(0.5, 1.0))
    distance = rng.uniform(0.35, 1.0)
    focus(scene, target, distance, rng.uniform(0, 6.3), -rng.uniform(-0.1, 0.5))
    scene.camera.position[2] = max(scene.camera.position[2], 0.1)
    if rng.random() < 0.7:
        scene.look.focus = (1 / distance, float(rng.uniform(1, 3)))


def object_outside(scene: Scene) -> None:
    """A thing on the ground out of doors, from near."""
    rng = scene.rng
    daylight(scene)
    ground = scene.surface("ground", "grass", "soil", "pavement", plain=0, gloss=0)
    scene.shape("ground", (0, 0, 0), (800, 800, 1), ground)
    for _ in range(int(rng.integers(0, 25))):
        turn, far = rng.uniform(0, 6.3), np.exp(rng.uniform(np.log(3), np.log(80)))
        at = (far * np.cos(turn), far * np.sin(turn), 0)
        number = scene.pick("tree", "bush")
        scale = (
            rng.uniform(3, 9) if scene.pack.models[number].category == "tree" else 1.2
        )
        scene.furniture(number, at, 0, scale)
    for _ in range(int(rng.integers(1, 4))):
        number = scene.pick(
            "Exterior", "Vehicles", "Miscellaneous", "Characters", "rock", "bush"
        )
        model = scene.pack.models[number]
        at = (*rng.normal(0, 0.5, 2), 0)
        if model.category == "rock":
            matrix = np.column_stack([np.diag(rng.uniform(0.3, 1.2, 3)), at])
            scene.put(number, matrix, scene.surface("rock"))
        elif model.size.max() < 5 and model.elevation == 0:
            scene.furniture(number, at, rng.uniform(0, 6.3))
    tuft = scene.pick("grass")
    for _ in range(int(rng.integers(0, 120))):
        at = (*rng.normal(0, 1.5, 2), 0)
        scene.furniture(tuft, at, rng.uniform(0, 6.3), rng.uniform(0.08, 0.4))
    distance = rng.uniform(0.8, 4)
    focus(scene, (0, 0, rng.uniform(0.1, 0.9)), distance, rng.uniform(0, 6.3),
          -rng.uniform(-0.05, 0.7))  # fmt: skip
    scene.camera.position[2] = max(scene.camera.position[2], 0.12)


def floating(scene: Scene) -> None:
    """One or two turned things before a backdrop, as if held in a hand."""
    rng = scene.rng
    studio_light(scene)
    backdrop(scene)
    focus(scene, (0, 0, 1.2), 0.9, rng.normal(0, 0.4), rng.normal(-0.1, 0.2))
    for _ in range(int(rng.integers(1, 4))):
        number = scene.small(*TABLE_TOP, most=0.6)
        at = np.array([0, 0, 1.2]) + rng.normal(0, 0.15, 3)
        matrix = np.column_stack([turn_any(rng, 0.5), at])
        scene.put(number, matrix)


def close_up(scene: Scene) -> None:
    """Fills the scene with something near."""
    rng = scene.rng
    scene.look = random_look(rng)
    kinds = (table_view, top_view, object_outside, flowers, floating)
    kinds[rng.choice(5, p=[0.4, 0.3, 0.14, 0.1, 0.06])](scene)
    if rng.random() < 0.3:
        distance = rng.uniform(0.4, 1.5)
        scene.look.focus = (1 / distance, float(rng.uniform(0.5, 2.5)))
