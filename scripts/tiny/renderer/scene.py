"""What a scene is, and a builder that places things in it."""

from dataclasses import dataclass, field

import numpy as np
import patterns
from assets import Pack

TRIANGLE_BUDGET = 130_000  # beyond it, no more heavy meshes
INSTANCE_FLOATS = 20  # three matrix rows, tint and gloss, surface


@dataclass
class Camera:
    """A pinhole camera: ``rotation`` columns are right, up, backward in the world."""

    position: np.ndarray
    rotation: np.ndarray
    focal: float  # in picture heights or widths, whichever is larger
    pitch: float = 0.0
    roll: float = 0.0


def look(position, yaw: float, pitch: float, roll: float, focal: float) -> Camera:
    """A camera; yaw 0 looks along +y, positive pitch looks up (radians)."""
    forward = np.array(
        [-np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)]
    )
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    up = np.cross(right, forward)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * up, c * up - s * right, -forward], 1)
    return Camera(np.asarray(position, float), rotation, focal, pitch, roll)


@dataclass
class Light:
    """Light and atmosphere of a scene; colours are linear."""

    key: np.ndarray  # direction to the sun, or position of the lamp with the shadow
    key_colour: np.ndarray
    key_is_lamp: bool = False
    lamps: list[tuple[np.ndarray, float, np.ndarray]] = field(default_factory=list)
    sky: np.ndarray = field(default_factory=lambda: np.full(3, 0.5))
    ground: np.ndarray = field(default_factory=lambda: np.full(3, 0.25))
    horizon: np.ndarray = field(default_factory=lambda: np.array([0.7, 0.8, 0.95]))
    zenith: np.ndarray = field(default_factory=lambda: np.array([0.2, 0.4, 0.8]))
    clouds: tuple[float, float, float, float] = (0.5, 1.0, 0.9, 0.0)
    cloud_edge: float = 0.35  # 0.05 is a sharp cumulus, 0.5 a veil
    fog: tuple[float, float, float, float] = (0.7, 0.75, 0.8, 0.0)
    occlusion: tuple[float, float] = (0.6, 1.2)  # radius in metres, strength
    shadow_reach: float = 12.0  # metres around the camera's view that get shadows


@dataclass
class Look:
    """The camera's processing: exposure key, vignette, contrast, saturation, …"""

    key: float = 0.2
    vignette: float = 0.05
    contrast: float = 1.0
    saturation: float = 1.0
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    focus: tuple[float, float] = (0.0, 0.0)  # disparity in focus, blur per disparity
    bump: float = 0.003


@dataclass(frozen=True)
class Surface:
    """How a built-in shape looks: texture layer (-1 none), tile, tint, gloss."""

    layer: int = -1
    tile: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gloss: float = 0.1
    box: bool = True  # box mapping in metres; otherwise the mesh's own uv times tile
    emission: float = 0.0


class Scene:
    """Instances of pack models, a camera and a light.

    Attributes:
        rng: the only source of chance.
        models: model number of every instance.
        instances: one float row (20) per instance.
    """

    def __init__(self, pack: Pack, rng: np.random.Generator):
        self.pack, self.rng = pack, rng
        self.models: list[int] = []
        self.instances: list[np.ndarray] = []
        self.camera: Camera | None = None
        self.triangles = 0
        self.light = Light(np.array([0.3, -0.5, 0.8]), np.full(3, 2.0))
        self.look = Look()

    # -- choosing ---------------------------------------------------------------

    def pick(self, *categories: str, keep=None) -> int | None:
        """A random model of the categories for which ``keep(model)`` holds."""
        numbers = [n for c in categories for n in self.pack.by_category.get(c, [])]
        if keep is not None:
            numbers = [n for n in numbers if keep(self.pack.models[n])]
        return self._one(numbers)

    def _one(self, numbers: list[int]) -> int | None:
        return numbers[int(self.rng.integers(len(numbers)))] if numbers else None

    def titled(self, *words: str, most: float = 1e9) -> int | None:
        """A random furniture model whose title holds one of the words."""
        return self._one(self.pack.titled(words, most))

    def small(self, *categories: str, most: float) -> int | None:
        """A random loose thing no larger than ``most`` metres."""
        return self._one(self.pack.small(categories, most))

    def surface(
        self, *groups: str, gloss=None, plain: float = 0.15, **changes
    ) -> Surface:
        """A random texture of the groups, tinted; sometimes only a colour."""
        rng = self.rng
        tint = np.clip(1 + rng.normal(0, 0.08, 3) * rng.random(), 0.3, 1.3)
        tint = tint * rng.uniform(0.65, 1.05)
        gloss = float(rng.uniform(0, 0.35) if gloss is None else gloss)
        if rng.random() < plain or not groups:
            colour = patterns.colour(rng, saturation=(0, 0.7), value=(0.1, 1.0))
            values = {"tint": tuple(colour), "gloss": gloss}
        else:
            numbers = [n for g in groups for n in self.pack.by_group.get(g, [])]
            layer = self._one(numbers)
            tile = self.pack.layers[layer].tile * rng.uniform(0.7, 1.5)
            values = {"layer": layer, "tile": tile, "tint": tuple(tint), "gloss": gloss}
        return Surface(**(values | changes))

    # -- placing ----------------------------------------------------------------

    def put(self, model: int, matrix: np.ndarray, surface: Surface | None = None,
            tint=(1.0, 1.0, 1.0), gloss: float = 0.0) -> None:  # fmt: skip
        """Adds an instance by its 3x4 matrix; no surface keeps the mesh's own."""
        row = np.empty(INSTANCE_FLOATS, np.float32)
        row[:12] = matrix.ravel()
        if surface is None:
            row[12:] = (*tint, gloss, -1, 0, 1, 0)
        elif surface.layer < 0:
            row[12:] = (*surface.tint, surface.gloss, -2, 1, 1, surface.emission)
        else:
            row[12:] = (*surface.tint, surface.gloss, surface.layer, float(surface.box),
                        surface.tile, surface.emission)  # fmt: skip
        triangles = self.pack.models[model].count // 3
        if triangles > 1500 and self.triangles + triangles > TRIANGLE_BUDGET:
            return
        self.triangles += triangles
        self.models.append(model)
        self.instances.append(row)

    def shape(
        self, name: str, centre, size, surface: Surface, yaw=0.0, tilt=None
    ) -> None:
        """Adds a built-in shape standing on ``centre`` (x, y, z of its bottom)."""
        self.shape_model(self.pack.by_name[name], centre, size, surface, yaw, tilt)

    def shape_model(
        self, model: int, centre, size, surface: Surface, yaw=0.0, tilt=None
    ) -> None:
        """As :meth:`shape`, for a model known by its number."""
        rotation = turn_z(yaw) if tilt is None else tilt @ turn_z(yaw)
        matrix = np.column_stack([rotation * np.asarray(size, float), centre])
        self.put(model, matrix, surface)

    def span(self, low, high, surface: Surface) -> None:
        """Adds an axis-aligned box between two corners."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        centre = [*(low[:2] + high[:2]) / 2, low[2]]
        self.shape("box", centre, high - low, surface)

    def wall_quad(self, centre, width, height, facing, surface: Surface) -> None:
        """Adds an upright picture; ``facing`` 0 looks to -y, turning with yaw."""
        self.shape("quad", centre, (width, 1, height), surface, yaw=facing)

    def furniture(
        self, model: int, position, yaw=0.0, scale=1.0, recolour=0.35
    ) -> None:
        """Adds a pack model at its real size; some get another colour or material."""
        rng = self.rng
        rotation = turn_z(yaw) * scale
        matrix = np.column_stack([rotation, position])
        tint = (1.0, 1.0, 1.0)
        if rng.random() < recolour:
            tint = tuple(
                np.clip(rng.uniform(0.4, 1.3) + rng.normal(0, 0.1, 3), 0.2, 1.5)
            )
        self.put(model, matrix, None, tint, rng.uniform(-0.05, 0.15))


def turn_z(yaw: float) -> np.ndarray:
    """Rotation about the vertical axis."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def turn_any(rng: np.random.Generator, amount: float = 1.0) -> np.ndarray:
    """A random rotation; ``amount`` below 1 stays near the identity."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = amount * rng.uniform(0, np.pi)
    k = np.array(
        [[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]]
    )
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def random_look(rng: np.random.Generator) -> Look:
    """Exposure and colour as consumer cameras vary."""
    warmth = rng.normal(0, 0.06)
    return Look(
        key=float(np.exp(rng.uniform(np.log(0.16), np.log(0.42)))),
        vignette=float(rng.uniform(0, 0.15) * (rng.random() < 0.5)),
        contrast=float(rng.uniform(0.85, 1.15)),
        saturation=float(rng.uniform(0.75, 1.25)),
        white=(1 + warmth, 1.0, 1 - warmth),
        bump=float(rng.uniform(0, 0.008)),
    )
