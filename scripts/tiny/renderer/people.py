"""People and animals close to the camera, in rooms and out of doors."""

import numpy as np
from indoor import indoor
from outdoor import outdoor
from scene import Scene


def people(scene: Scene) -> None:
    """One to three figures near, or a group that stands further off."""
    rng = scene.rng
    (indoor if rng.random() < 0.5 else outdoor)(scene)
    scene.triangles = 0  # however full the place, the person is not left out
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(3, 9))):
            place(scene, False, np.exp(rng.uniform(np.log(1.6), np.log(9))), 0.35)
    else:
        animals = rng.random() < 0.3
        near, far = (0.35, 1.4) if animals else (0.5, 2.6)
        for count in range(int(rng.choice([1, 1, 1, 2, 3]))):
            distance = np.exp(rng.uniform(np.log(near), np.log(far)))
            place(scene, animals, distance * (1 + 0.5 * count), 0.22, count == 0)
    if rng.random() < 0.35:
        distance = rng.uniform(0.5, 2.0)
        scene.look.focus = (1 / distance, float(rng.uniform(0.5, 2.5)))


def place(scene: Scene, animal: bool, distance, spread, eye: bool = False) -> None:
    """Stands a figure before the camera, which `eye` raises to its head or chest."""
    rng, camera = scene.rng, scene.camera
    number = scene.pick("Characters", keep=lambda m: (m.size[2] < 1.2) == animal)
    if number is None:
        return
    height = scene.pack.models[number].size[2]
    if eye and abs(camera.pitch) < 0.4:
        low, high = (0.5, 1.6) if animal else (0.6, 1.1)
        camera.position[2] = rng.uniform(low, high) * max(height, 0.3)
    at = camera.position - camera.rotation[:, 2] * distance
    at = at + camera.rotation[:, 0] * rng.normal(0, spread) * distance
    turn = np.arctan2(camera.rotation[0, 2], -camera.rotation[1, 2])
    yaw = -turn + rng.normal(0, 0.7)
    scene.furniture(number, (at[0], at[1], 0), yaw, recolour=0.15)
