"""Scenes of no place: primitives at many depths, tilted planes, facades from below."""

import numpy as np
from outdoor import building, daylight
from scene import Scene, look, random_look, turn_any

SHAPES = ("box", "sphere", "cylinder", "cone", "torus", "bowl", "vase", "gable")
GROUPS = ("wall", "floor", "fabric", "wood", "stone", "metal", "picture", "brick",
          "ground", "organic", "facade", "page")  # fmt: skip


def primitives(scene: Scene) -> None:
    """Many shapes at depths from 0.5 to 60 m before a plane or the sky."""
    rng = scene.rng
    for _ in range(int(rng.integers(6, 70))):
        depth = np.exp(rng.uniform(np.log(0.8), np.log(60)))
        across = rng.uniform(-0.8, 0.8, 2) * depth
        size = depth * np.exp(rng.normal(np.log(0.18), 0.5)) * rng.uniform(0.4, 1.6, 3)
        if depth - size.max() < 0.4:
            continue
        surface = scene.surface(*GROUPS, plain=0.2)
        at = (across[0], depth, across[1])
        name = SHAPES[int(rng.integers(len(SHAPES)))]
        scene.shape(name, at, size, surface, tilt=turn_any(rng))
    if rng.random() < 0.6:
        scene.shape(
            "ground",
            (0, 0, -rng.uniform(0.4, 6)),
            (500, 500, 1),
            scene.surface(*GROUPS),
        )
    if rng.random() < 0.6:
        far = np.exp(rng.uniform(np.log(3), np.log(80)))
        wall = scene.surface(*GROUPS, plain=0.1)
        scene.shape("box", (0, far, -50), (200, 0.2, 120), wall, rng.normal(0, 0.4))
    scene.camera = look(
        np.zeros(3), 0, rng.normal(0, 0.1), rng.normal(0, 0.2), rng.uniform(0.6, 1.6)
    )


def planes(scene: Scene) -> None:
    """A few large planes at any tilt, with relief on the nearest."""
    rng = scene.rng
    for number in range(int(rng.integers(1, 6))):
        tilt = turn_any(rng, 0.5)
        depth = np.exp(rng.uniform(np.log(0.8), np.log(12)))
        size = depth * (20 if number == 0 else rng.uniform(0.3, 1.5))
        at = np.array([*(rng.normal(0, 0.3, 2) * depth * (number > 0)), 0])[[0, 2, 1]]
        at[1] = depth
        scene.shape(
            "box",
            at,
            (size, 0.02 * depth, size),
            scene.surface(*GROUPS, plain=0.05),
            0,
            tilt,
        )
    scene.camera = look(np.zeros(3), 0, 0, 0, rng.uniform(0.6, 1.6))


def from_below(scene: Scene) -> None:
    """A facade, or two, filling the view of a camera that looks up."""
    rng = scene.rng
    scene.shape("ground", (0, 0, 0), (500, 500, 1), scene.surface("pavement", "road"))
    far = rng.uniform(3, 25)
    xs = (far, far + 12)
    building(scene, (xs[0], -40), (xs[1], 40), rng.uniform(8, 60), 0.0)
    if rng.random() < 0.4:
        building(scene, (-far - 12, -40), (-far, 40), rng.uniform(8, 40), 0.0)
    yaw = -np.pi / 2 + rng.normal(0, 0.6)
    pitch = rng.uniform(0.0, 0.9)
    scene.camera = look(
        (0, 0, 1.6), yaw, pitch, rng.normal(0, 0.05), rng.uniform(0.5, 1.5)
    )


def stairs(scene: Scene) -> None:
    """A flight of steps between walls, up or down."""
    rng = scene.rng
    surface, wall = (
        scene.surface("stone", "concrete", "wood", "floor"),
        scene.surface("wall", "brick"),
    )
    rise, run, half = (
        rng.uniform(0.12, 0.2),
        rng.uniform(0.25, 0.4),
        rng.uniform(0.7, 3),
    )
    up = 1 if rng.random() < 0.7 else -1
    start = rng.uniform(0.5, 3)
    scene.span((-half, -3, -0.2), (half, start, 0), surface)
    for step in range(int(rng.integers(5, 30))):
        y, z = start + step * run, up * (step + (up > 0)) * rise
        scene.span((-half, y, z - 3), (half, y + run, z), surface)
    end = start + 12
    for side in (-1, 1):
        if rng.random() < 0.7:
            near = sorted((side * half, side * (half + 0.2)))
            scene.span((near[0], -3, -6), (near[1], end, 8), wall)
    scene.span(
        (-20, end, -8), (20, end + 0.2, 12), scene.surface("wall", "facade", "brick")
    )
    pitch = up * rng.uniform(0, 0.4)
    at = (rng.normal(0, 0.3) * half, 0, rng.uniform(1, 1.8))
    scene.camera = look(
        at, rng.normal(0, 0.2), pitch, rng.normal(0, 0.04), rng.uniform(0.5, 1.3)
    )


def abstract(scene: Scene) -> None:
    """Fills the scene with shapes that teach geometry rather than places."""
    rng = scene.rng
    scene.look = random_look(rng)
    daylight(scene)
    scene.light.fog = (*scene.light.fog[:3], scene.light.fog[3] * 0.5)
    kind = rng.choice(4, p=[0.45, 0.2, 0.2, 0.15])
    (primitives, planes, from_below, stairs)[kind](scene)
