"""Streets, open ground with trees and houses, yards and shores."""

import numpy as np
from scene import Light, Scene, look, random_look

STREET_ITEMS = ("bench", "lamp", "trash", "hydrant", "mailbox", "bicycle", "scooter",
                "motorbike", "cone", "barrier", "bin", "street light", "park light",
                "plant box", "flower box")  # fmt: skip
CARS = ("ford", "sedan", "beetle", "leon", "peugeot", "renault", "suv", "chevrolet",
        "van", "smart")  # fmt: skip
TRUCKS = ("bus", "truck", "city bus")
GARDEN = ("bench", "swing", "seesaw", "deck chair", "umbrella", "fountain", "rowboat",
          "tent", "hammock", "hut", "dog house", "trampoline", "wheelbarrow", "table",
          "lantern", "goal", "barrel", "container", "slide", "hedge")  # fmt: skip
MODELLED_TREES = ("acacia", "palm", "poplar", "pine", "maple", "cypress", "bamboo",
                  "coconut", "beech", "blossom", "hedge")  # fmt: skip


def daylight(scene: Scene) -> None:
    """Sun, sky, clouds and haze: clear, overcast, low sun or night."""
    rng = scene.rng
    kind = rng.choice(["clear", "overcast", "low", "night"], p=[0.5, 0.28, 0.17, 0.05])
    turn = rng.uniform(0, 6.3)
    height = rng.uniform(0.08, 0.3) if kind == "low" else rng.uniform(0.35, 1.6)
    light = Light(np.array([np.cos(turn), np.sin(turn), height]), np.ones(3))
    blue = np.array([rng.uniform(0.12, 0.45), rng.uniform(0.35, 0.6), 1.0])
    pale = np.array([rng.uniform(0.75, 1.0), rng.uniform(0.85, 1.0), 1.0])
    if kind == "overcast":
        grey = np.array([0.95, 0.98, 1.02])
        light.key_colour = rng.uniform(0.05, 0.8) * np.ones(3)
        light.sky, light.ground = rng.uniform(0.8, 1.2) * grey, 0.3 * grey
        light.zenith, light.horizon = (
            rng.uniform(0.6, 1.1) * grey,
            rng.uniform(0.8, 1.3) * pale,
        )
        light.clouds = (
            float(rng.uniform(0.6, 1.0)),
            1.0,
            float(rng.uniform(0.8, 1.3)),
            0,
        )
    elif kind == "night":
        light.key_colour = 0.03 * np.array([0.6, 0.7, 1.0])
        light.sky, light.ground = 0.02 * blue + 0.01, np.full(3, 0.012)
        light.zenith, light.horizon = 0.01 * blue, 0.04 * pale
        light.clouds = (0.4, 1.0, 0.03, 0)
    else:
        warm = np.array([1, 0.62, 0.32]) if kind == "low" else np.array([1, 0.95, 0.86])
        light.key_colour = rng.uniform(2.0, 5.0) * warm
        # Shadows of photos are dark: a sixth to a thirtieth of the sunlit side.
        light.sky = rng.uniform(0.1, 0.5) * (0.5 * blue + 0.5)
        light.ground = rng.uniform(0.04, 0.22) * np.array([1, 0.95, 0.85])
        light.zenith = rng.uniform(0.3, 0.9) * blue
        light.horizon = rng.uniform(0.4, 1.1) * (pale * warm if kind == "low" else pale)
        light.clouds = (
            float(rng.uniform(0, 0.8)),
            1.0,
            float(rng.uniform(0.7, 1.6)),
            0,
        )
    light.clouds = (light.clouds[0], float(rng.uniform(0.4, 2.0)), light.clouds[2],
                    float(rng.uniform(0, 500)))  # fmt: skip
    light.cloud_edge = float(np.exp(rng.uniform(np.log(0.06), np.log(0.5))))
    density = float(np.exp(rng.uniform(np.log(5e-5), np.log(6e-3))))
    density = density * 6 if rng.random() < 0.06 else density
    light.fog = (*(0.9 * light.horizon), density)
    light.occlusion = (float(rng.uniform(0.6, 1.6)), float(rng.uniform(1.0, 2.2)))
    light.shadow_reach = float(rng.uniform(14, 30))
    scene.light = light


def box_house(scene: Scene, x, y, size, yaw, base=0.0) -> None:
    """A house: walls with a facade texture, a roof, a door, sometimes a chimney."""
    rng = scene.rng
    w, d, h = size
    wall = scene.surface(
        "facade" if h > 4 or rng.random() < 0.5 else "facade_plain", plain=0.05
    )
    scene.shape("box", (x, y, base), size, wall, yaw)
    if rng.random() < 0.7 and h < 12:
        roof = scene.surface("roof", plain=0.1)
        over = np.array([w + 0.8, d + 0.8, rng.uniform(1.2, 3.5)])
        scene.shape("gable", (x, y, base + h), over, roof, yaw)
    else:
        rim = scene.surface("concrete", plain=0.5)
        scene.shape("box", (x, y, base + h), (w + 0.3, d + 0.3, 0.4), rim, yaw)
    out = np.array([np.sin(yaw), -np.cos(yaw)])
    door = scene.surface("door", "garage", plain=0.2, box=False, tile=1.0)
    at = np.array([x, y]) + out * (d / 2 + 0.03)
    scene.shape("box", (*at, base), (rng.uniform(0.9, 2.4), 0.06, 2.1), door, yaw)


def building(scene: Scene, low, high, height, street_x) -> None:
    """A street building with ledges, balconies, shop front and sign."""
    rng = scene.rng
    facade = scene.surface("facade", plain=0.03)
    scene.span((*low, 0), (*high, height), facade)
    side = -1 if street_x < low[0] else 1  # which face looks at the street
    face = low[0] if side < 0 else high[0]
    trim = scene.surface("concrete", "wall", plain=0.6)

    def relief(y0, y1, z0, z1, out, surface):
        xs = sorted((face, face + side * out))
        scene.span((xs[0], y0, z0), (xs[1], y1, z1), surface)

    storey = rng.uniform(2.8, 3.6)
    relief(low[1], high[1], height - 0.3, height + 0.3, rng.uniform(0.1, 0.6), trim)
    if rng.random() < 0.5:
        for z in np.arange(storey, min(height, 30) - 1, storey):
            relief(low[1], high[1], z, z + 0.15, rng.uniform(0.06, 0.2), trim)
    if rng.random() < 0.35 and low[1] < 50:
        width, out = rng.uniform(1.2, 3), rng.uniform(0.6, 1.4)
        for z in np.arange(storey, min(height - storey, 20), storey):
            for y in np.arange(low[1] + 1, high[1] - width, width * 1.8):
                relief(y, y + width, z, z + 0.12, out, trim)
                relief(y, y + width, z + 0.9, z + 0.96, out, trim)
                for post in np.linspace(y, y + width - 0.05, 5):
                    x = face + side * out
                    scene.span(
                        (x - 0.03, post, z), (x + 0.03, post + 0.05, z + 0.9), trim
                    )
    if rng.random() < 0.5:  # shop front
        glass = scene.surface(plain=1.0, tint=(0.25, 0.28, 0.3), gloss=0.8)
        sign = scene.surface("picture", plain=0.2, box=False, tile=1.0)
        cloth = scene.surface("fabric", plain=0.4)
        y = low[1] + 0.5
        while y + 2 < min(high[1], 70):
            w = rng.uniform(1.5, 3.5)
            relief(y, min(y + w, high[1] - 0.3), 0.4, 2.5, 0.05, glass)
            relief(y, min(y + w, high[1] - 0.3), 2.6, 3.1, 0.12, sign)
            if rng.random() < 0.4:
                relief(y, min(y + w, high[1] - 0.3), 2.5, 2.56, 1.2, cloth)
            y += w + rng.uniform(0.2, 1.0)


def strip(scene: Scene, x, start, end, width, surface, z=0.0, yaw=0.0) -> None:
    """A road of square pieces, so that its markings keep their shape."""
    direction = np.array([-np.sin(yaw), np.cos(yaw)])
    for along in np.arange(start, end, width):
        at = np.array([x, 0]) + direction * (along + width / 2)
        scene.shape("quad_up", (*at, z), (width, width, 1), surface, yaw)


def street(scene: Scene) -> None:
    """A road between two rows of buildings, with traffic, people and trees."""
    rng = scene.rng
    road, pavement = rng.uniform(5, 14), rng.uniform(1.5, 5)
    surface = scene.surface(
        "roadway", plain=0.0, box=False, tile=1.0, gloss=rng.uniform(0, 0.4)
    )
    scene.shape(
        "ground", (0, 0, -0.03), (900, 900, 1), scene.surface("road", "pavement")
    )
    strip(scene, 0, -30, 250, road, surface)
    slab = scene.surface("pavement", "concrete", plain=0.1)
    edge = road / 2
    for side in (-1, 1):
        xs = sorted((side * edge, side * (edge + pavement)))
        scene.span((xs[0], -40, -0.1), (xs[1], 260, 0.13), slab)
        y = rng.uniform(-45, -30)
        tall = rng.choice([4, 8, 14, 30])
        open_share = rng.choice([0.05, 0.3])
        while y < 230:
            width = rng.uniform(6, 26)
            gap = rng.uniform(3, 15) if rng.random() < open_share else 0.0
            height = tall * rng.uniform(0.7, 1.5) + 2
            setback = rng.uniform(0, 0.5) if rng.random() < 0.7 else rng.uniform(1, 6)
            near = side * (edge + pavement + setback)
            xs = sorted((near, near + side * rng.uniform(8, 18)))
            building(scene, (xs[0], y), (xs[1], y + width), height, 0.0)
            y += width + gap
        street_side(scene, side, edge, pavement)
    for _ in range(int(rng.integers(0, 7))):
        car = scene.titled(*CARS, *TRUCKS)
        if car is not None:
            x, way = rng.uniform(0.15, 0.35) * road, int(rng.choice([-1, 1]))
            at = (way * x, rng.uniform(4, 90), 0.01)
            scene.furniture(car, at, 0 if way < 0 else np.pi, recolour=0.8)
    height = float(
        rng.choice([rng.uniform(1.2, 1.9), rng.uniform(1.4, 1.8), rng.uniform(2, 12)])
    )
    x = rng.uniform(-1, 1) * (edge + pavement * 0.7)
    yaw = rng.normal(0, 0.35) if rng.random() < 0.8 else rng.uniform(-1.5, 1.5)
    pitch = rng.normal(0.02, 0.13) - 0.03 * (height - 1.6)
    aim(scene, (x, rng.uniform(-8, 5), height + 0.13), yaw, pitch)


def street_side(scene: Scene, side, edge, pavement) -> None:
    """Parked cars, trees, lamps, people and other things on one side."""
    rng = scene.rng
    if rng.random() < 0.6:
        y = rng.uniform(-5, 6)
        while y < 90:
            car = scene.titled(*CARS)
            if car is not None and rng.random() < 0.75:
                x = side * (edge - 1.2)
                turn = 0.0 if side < 0 else np.pi
                scene.furniture(
                    car, (x, y, 0.01), turn + rng.normal(0, 0.03), recolour=0.8
                )
            y += rng.uniform(5.2, 9)
    if rng.random() < 0.6:
        kind, spacing = scene.pick("tree"), rng.uniform(6, 16)
        for y in np.arange(rng.uniform(-4, 8), 120, spacing):
            place = (side * (edge + 0.7), y, 0.1)
            scene.furniture(kind, place, rng.uniform(0, 6.3), rng.uniform(4, 9))
    lamp = scene.titled("street light", "street lamp", "park light", "lamppost")
    if lamp is not None and rng.random() < 0.6:
        for y in np.arange(rng.uniform(0, 10), 150, rng.uniform(12, 25)):
            scene.furniture(
                lamp, (side * (edge + 0.4), y, 0.1), side * np.pi / 2, recolour=0
            )
    for _ in range(int(rng.integers(1, 12))):
        number = (
            scene.pick("Characters")
            if rng.random() < 0.6
            else scene.titled(*STREET_ITEMS)
        )
        if number is not None:
            at = (side * (edge + rng.uniform(0.3, pavement)), rng.uniform(2, 40), 0.13)
            scene.furniture(number, at, rng.uniform(0, 6.3))


def open_ground(scene: Scene) -> None:
    """Fields, parks, villages: trees, bushes, houses, rocks, hills far away."""
    rng = scene.rng
    ground = scene.surface("ground", "grass", "soil", "snow", plain=0.0, gloss=0.0)
    scene.shape("ground", (0, 0, 0), (3000, 3000, 1), ground)
    hills(scene, ground)
    if rng.random() < 0.3:
        road = scene.surface(
            "roadway", "ground", "pavement", plain=0, box=False, tile=1.0
        )
        strip(scene, rng.uniform(-8, 8), -20, 200, rng.uniform(3, 9), road, 0.012,
              rng.normal(0, 0.5))  # fmt: skip
    if rng.random() < 0.25:
        water = scene.surface("water", plain=0.3, gloss=0.9)
        far = rng.uniform(10, 80)
        scene.span((-900, far, -1), (900, far + rng.uniform(20, 400), 0.03), water)
    greenery(scene, int(rng.integers(0, 90)))
    for _ in range(int(rng.integers(0, 5)) * int(rng.random() < 0.6)):
        x, y = spot(rng, 14, 120)
        size = rng.uniform((5, 5, 2.6), (14, 12, 7))
        box_house(scene, x, y, size, rng.normal(0, 1.2))
    if rng.random() < 0.35:
        fence(scene)
    for _ in range(int(rng.integers(0, 8))):
        x, y = spot(rng, 2, 45)
        number = [scene.pick("Characters"), scene.titled(*CARS, *TRUCKS),
                  scene.titled(*GARDEN), scene.pick("Exterior", "Vehicles")][
                      int(rng.integers(4))]  # fmt: skip
        if (
            number is not None
            and np.hypot(x, y) > scene.pack.models[number].size.max() + 1
        ):
            scene.furniture(number, (x, y, 0.0), rng.uniform(0, 6.3))
    for _ in range(int(rng.integers(0, 14))):
        x, y = spot(rng, 1.5, 60)
        size = np.exp(rng.uniform(np.log(0.2), np.log(3))) * rng.uniform(0.7, 1.3, 3)
        stone = scene.surface("rock", plain=0.2, gloss=0)
        model = scene.pick("rock")
        matrix = np.column_stack([np.diag(size), (x, y, -0.1)])
        if np.hypot(x, y) > size.max() + 0.5:
            scene.put(model, matrix, stone)
    low, high = (0.4, 3) if rng.random() < 0.85 else (4, 40)
    height = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    pitch = rng.normal(-0.03, 0.12) - 0.012 * max(height - 2, 0)
    aim(scene, (0, 0, height), rng.normal(0, 0.15), pitch)


def spot(rng, near: float, far: float) -> tuple[float, float]:
    """A place in front of the camera, as dense near as far."""
    distance = np.exp(rng.uniform(np.log(near), np.log(far)))
    turn = rng.uniform(-0.9, 0.9)
    return distance * np.sin(turn), distance * np.cos(turn)


def hills(scene: Scene, ground) -> None:
    """A row of hills or mountains along the horizon."""
    rng = scene.rng
    if rng.random() < 0.3:
        return
    for _ in range(int(rng.integers(1, 7))):
        distance = np.exp(rng.uniform(np.log(80), np.log(1300)))
        turn, width = rng.uniform(-1.2, 1.2), distance * rng.uniform(0.6, 1.6)
        at = (distance * np.sin(turn), distance * np.cos(turn) + width * 0.3, -0.5)
        surface = ground if rng.random() < 0.4 else scene.surface(
            "rock", "grass", "soil", "snow", plain=0.2, gloss=0.0)  # fmt: skip
        changes = {"tile": max(surface.tile, distance / 25)}
        surface = type(surface)(**(vars(surface) | changes))
        size = (width, width, width * rng.uniform(0.05, 0.35))
        scene.shape_model(scene.pick("terrain"), at, size, surface, rng.uniform(0, 6.3))


def greenery(scene: Scene, count: int) -> None:
    """Trees and bushes near and far, and grass tufts at the camera's feet."""
    rng = scene.rng
    kinds = [scene.pick("tree") for _ in range(int(rng.integers(1, 4)))]
    modelled = scene.titled(*MODELLED_TREES)
    for _ in range(count):
        x, y = spot(rng, 4, 250)
        choice = rng.random()
        if choice < 0.6:
            scene.furniture(scene._one(kinds), (x, y, -0.05), rng.uniform(0, 6.3),
                            rng.uniform(3, 14))  # fmt: skip
        elif choice < 0.75 and modelled is not None:
            scene.furniture(
                modelled, (x, y, 0), rng.uniform(0, 6.3), rng.uniform(0.6, 1.3)
            )
        else:
            model = scene.pick("bush")
            scene.furniture(
                model, (x, y, -0.05), rng.uniform(0, 6.3), rng.uniform(0.4, 2.5)
            )
    if rng.random() < 0.5:
        tuft = scene.pick("grass")
        for _ in range(int(rng.integers(20, 160))):
            x, y = spot(rng, 0.8, 14)
            scene.furniture(
                tuft, (x, y, 0), rng.uniform(0, 6.3), rng.uniform(0.15, 0.7)
            )


def fence(scene: Scene) -> None:
    """A row of posts with rails, or a low wall."""
    rng = scene.rng
    y, yaw = rng.uniform(4, 30), rng.normal(0, 0.4)
    surface = scene.surface("wood", "metal", "brick", plain=0.2)
    direction = np.array([np.cos(yaw), np.sin(yaw)])
    solid, high = rng.random() < 0.3, rng.uniform(0.6, 1.8)
    for u in np.arange(-30, 30, 2.0):
        at = np.array([0, y]) + direction * u
        if solid:
            scene.shape("box", (*at, 0), (2.0, 0.2, high), surface, yaw)
            continue
        scene.shape("box", (*at, 0), (0.1, 0.1, high + 0.1), surface, yaw)
        for z in (0.3 * high, 0.6 * high, 0.9 * high):
            scene.shape("box", (*(at + direction), z), (2, 0.05, 0.08), surface, yaw)


def yard(scene: Scene) -> None:
    """A paved court before one or two facades, with things standing about."""
    rng = scene.rng
    floor = scene.surface("pavement", "road", "stone", plain=0.05)
    scene.shape("ground", (0, 0, 0), (600, 600, 1), floor)
    far = rng.uniform(4, 30)
    building(scene, (-40, far), (40, far + 15), rng.uniform(4, 25), 0.0)
    wall = scene.surface("facade", "brick", "facade_plain", plain=0.05)
    scene.span((-60, far - 0.05, 0), (60, far, rng.uniform(3, 18)), wall)
    for side in (-1, 1):
        if rng.random() < 0.6:
            x = side * rng.uniform(4, 25)
            xs = sorted((x, x + side * 12))
            building(scene, (xs[0], -20), (xs[1], far + 5), rng.uniform(3, 20), 0.0)
    for _ in range(int(rng.integers(2, 22))):
        x, y = spot(rng, 1.5, far - 1)
        choices = (
            scene.pick("Characters"),
            scene.titled(*STREET_ITEMS, *GARDEN),
            scene.titled(*CARS),
            scene.pick("Exterior", "Miscellaneous"),
        )
        number = choices[int(rng.choice(4, p=[0.35, 0.3, 0.15, 0.2]))]
        if number is not None:
            size = scene.pack.models[number].size
            if size.max() < 6 and np.hypot(x, y) > size.max() * 0.6 + 0.6:
                scene.furniture(number, (x, y, 0), rng.uniform(0, 6.3))
    if rng.random() < 0.5:
        greenery(scene, int(rng.integers(1, 6)))
    pitch = rng.normal(0.05, 0.2)
    aim(scene, (0, 0, rng.uniform(0.6, 2.2)), rng.normal(0, 0.25), pitch)


def aim(scene: Scene, position, yaw, pitch) -> None:
    """Sets the camera with a random focal length and roll."""
    rng = scene.rng
    focal = float(np.exp(rng.uniform(np.log(0.55), np.log(1.8))))
    roll = rng.normal(0, 0.02) if rng.random() < 0.85 else rng.normal(0, 0.15)
    scene.camera = look(position, yaw, float(np.clip(pitch, -1.2, 1.0)), roll, focal)


def outdoor(scene: Scene) -> None:
    """Fills the scene with an outdoor place."""
    rng = scene.rng
    scene.look = random_look(rng)
    # Cameras expose for the sky more often than for the shade.
    scene.look.key *= float(rng.uniform(0.55, 1.0))
    daylight(scene)
    kind = rng.choice(3, p=[0.4, 0.42, 0.18])
    (street, open_ground, yard)[kind](scene)
    if scene.light.key_colour.max() < 0.1:  # night: street lamps
        for _ in range(4):
            x, y = spot(rng, 2, 15)
            warm = np.array([1, rng.uniform(0.6, 0.9), rng.uniform(0.25, 0.8)])
            lamp = (
                np.array([x, y, rng.uniform(2.5, 5)]),
                0.5,
                rng.uniform(2, 8) * warm,
            )
            scene.light.lamps.append(lamp)
