"""Built-in shapes: primitives, rocks, terrain patches, trees and grass."""

import numpy as np
from meshes import Mesh

LEAF, BARK = "leaf", "bark"


def _mesh(name: str, category: str, positions, normals, uvs, ids=None) -> Mesh:
    ids = np.zeros(len(positions), int) if ids is None else ids
    return Mesh(name, category, positions, normals, uvs, ids)


def grid(name: str, category: str, surface, columns: int, rows: int) -> Mesh:
    """Triangulates ``surface(u, v) -> (n, 3)`` over the unit square, smooth normals."""
    u, v = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
    u, v, step = u.ravel(), v.ravel(), 1e-4
    points = surface(u, v)
    du = surface(u + step, v) - surface(u - step, v)
    dv = surface(u, v + step) - surface(u, v - step)
    normals = np.cross(du, dv)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0, 0, 1.0])
    a = np.arange((columns + 1) * rows).reshape(rows, columns + 1)[:, :-1].ravel()
    b = a + columns + 1
    index = np.stack([a, a + 1, b + 1, a, b + 1, b], 1).ravel()
    return _mesh(
        name, category, points[index], normals[index], np.stack([u, v], 1)[index]
    )


def box() -> Mesh:
    """Unit cube over z = 0 (x, y in -.5 .. .5, z in 0 .. 1), uv 0..1 on each face."""
    faces = []
    for axis in range(3):
        for sign in (-1, 1):
            n = np.zeros(3)
            n[axis] = sign
            right = np.cross([0, 0, 1.0], n) if axis < 2 else np.array([1.0, 0, 0])
            up = np.cross(n, right)
            square = np.array([(-1, -1), (1, -1), (1, 1), (-1, -1), (1, 1), (-1, 1)])
            points = (n + square[:, :1] * right + square[:, 1:] * up) / 2
            faces.append(
                (points + np.array([0, 0, 0.5]), np.tile(n, (6, 1)), square * 0.5 + 0.5)
            )
    return _mesh(
        "box", "shape", *(np.concatenate(part) for part in zip(*faces, strict=True))
    )


def quad() -> Mesh:
    """Unit square facing -y, standing on z = 0, uv 0..1."""
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1)], float)
    points = np.stack([uv[:, 0] - 0.5, np.zeros(6), uv[:, 1]], 1)
    return _mesh("quad", "shape", points, np.tile([0, -1.0, 0], (6, 1)), uv)


def gable() -> Mesh:
    """A gable roof over the unit square, ridge along x at height 1."""
    a, b, c, d = (-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)
    e, f = (-0.5, 0, 1), (0.5, 0, 1)
    index = [a, b, f, a, f, e, c, d, e, c, e, f, d, a, e, b, c, f]
    points = np.array(index, float)
    corners = points.reshape(-1, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return _mesh("gable", "shape", points, np.repeat(normals, 3, 0), points[:, :2])


def quad_up() -> Mesh:
    """Unit square facing up around the origin, uv 0..1."""
    upright = quad()
    points = upright.positions[:, [0, 2, 1]] - [0, 0.5, 0]
    return _mesh("quad_up", "shape", points, np.tile([0, 0, 1.0], (6, 1)), upright.uvs)


def ground(name: str = "ground", cells: int = 24) -> Mesh:
    """Unit square facing up at z = 0, x and y in -.5 .. .5."""
    return grid(
        name, "shape", lambda u, v: np.stack([u - 0.5, v - 0.5, 0 * u], 1), cells, cells
    )


def _lathe(name: str, radius, height, columns: int = 24, rows: int = 8) -> Mesh:
    def surface(u, v):
        a = 2 * np.pi * u
        return np.stack([radius(v) * np.cos(a), radius(v) * np.sin(a), height(v)], 1)

    return grid(name, "shape", surface, columns, rows)


def round_shapes() -> list[Mesh]:
    """Sphere, cylinder with caps, cone, torus, bowl, vase, arch: unit size on z = 0."""

    def capped(v):  # radius profile of a closed cylinder
        return 0.5 * np.clip(np.minimum(v, 1 - v) * 20, 0, 1)

    def torus(u, v):
        a, b = 2 * np.pi * u, 2 * np.pi * v
        ring = 0.35 + 0.15 * np.cos(b)
        return np.stack(
            [ring * np.cos(a), ring * np.sin(a), 0.15 + 0.15 * np.sin(b)], 1
        )

    return [
        _lathe("sphere", lambda v: 0.5 * np.sin(np.pi * np.clip(v, 0, 1)),
               lambda v: 0.5 - 0.5 * np.cos(np.pi * np.clip(v, 0, 1)), 28, 18),
        _lathe("cylinder", capped, lambda v: np.clip((v - 0.05) / 0.9, 0, 1), 24, 20),
        _lathe("cone", lambda v: 0.5 * (1 - v), lambda v: v),
        _lathe("bowl", lambda v: 0.5 * np.sqrt(np.clip(v, 0, 1)), lambda v: v, 24, 10),
        _lathe("vase", lambda v: 0.22 + 0.25 * np.sin(4.5 * v) ** 2 * (1 - 0.6 * v),
               lambda v: v, 24, 18),
        grid("torus", "shape", torus, 28, 14),
    ]  # fmt: skip


def rough(rng: np.random.Generator, octaves: int = 4, waves: int = 5):
    """A smooth random function of (n, k) points, about -1 .. 1."""
    parts = []
    for octave in range(octaves):
        direction = rng.normal(size=(waves, 3)) * 2.0**octave
        parts.append((direction, rng.uniform(0, 6.3, waves), 0.55**octave))

    def value(points):
        total = 0
        for direction, phase, weight in parts:
            wave = np.sin(points @ direction[:, : points.shape[1]].T + phase)
            total = total + weight * wave.mean(1)
        return total

    return value


def rock(name: str, rng: np.random.Generator) -> Mesh:
    """A lumpy boulder about one unit across, sunk a little into z = 0."""
    noise, squash = rough(rng), rng.uniform(0.5, 1.0, 3)

    def surface(u, v):
        a, b = 2 * np.pi * u, np.pi * np.clip(v, 0, 1)
        n = np.stack([np.sin(b) * np.cos(a), np.sin(b) * np.sin(a), -np.cos(b)], 1)
        return n * (0.5 + 0.35 * noise(2.0 * n))[:, None] * squash + [0, 0, 0.3]

    return grid(name, "rock", surface, 28, 18)


def terrain(name: str, rng: np.random.Generator, ridged: bool) -> Mesh:
    """Hills over the unit square, heights 0 .. 1, falling to 0 at the border."""
    noise = rough(rng, 6, 7)

    def surface(u, v):
        p = np.stack([u * 5, v * 5], 1)
        h = noise(p)
        h = 1 - 1.7 * np.abs(h) if ridged else 0.5 + 0.8 * h
        edge = np.clip(np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) * 4, 0, 1)
        return np.stack([u - 0.5, v - 0.5, np.clip(h, 0, None) * edge**0.7], 1)

    return grid(name, "terrain", surface, 56, 56)


def _cards(rng, centres: np.ndarray, size: float, outward: np.ndarray):
    """Square cards with random turns at centres; normals lean outward."""
    count = len(centres)
    a, b = rng.normal(size=(2, count, 3))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(a, b)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1)], float)
    corner = uv - 0.5
    scale = size * rng.uniform(0.6, 1.2, (count, 1, 1))
    points = centres[:, None] + scale * (
        corner[None, :, :1] * a[:, None] + corner[None, :, 1:] * b[:, None]
    )
    normals = np.repeat(outward, 6, axis=0) + 0.25 * rng.normal(size=(count * 6, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return points.reshape(-1, 3), normals, np.tile(uv, (count, 1))


def tree(name: str, rng: np.random.Generator) -> Mesh:
    """A tree one unit high: a tapered trunk and a crown of leaf cards.

    Material 0 is bark, 1 is leaf (with holes cut by the leaf texture's alpha).
    """
    trunk_height, width = rng.uniform(0.2, 0.5), rng.uniform(0.015, 0.04)
    conical = rng.random() < 0.3
    trunk = _lathe("trunk", lambda v: width * (1 - 0.6 * v), lambda v: v * 0.9, 8, 3)
    count = int(rng.integers(140, 320))
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    lobes = rng.normal(size=(6, 3)) * [0.16, 0.16, 0.1]
    radius = rng.uniform(0.1, 0.2) * rng.uniform(0.6, 1.0, (count, 1)) ** 0.33
    centres = lobes[rng.integers(0, 6, count)] + direction * radius
    if conical:
        height = rng.random(count) ** 1.3
        spread = 0.22 * (1 - height) + 0.02
        turn = rng.uniform(0, 6.3, count)
        centres = np.stack([spread * np.cos(turn), spread * np.sin(turn), height], 1)
        centres[:, 2] *= 1 - trunk_height * 0.5
        centres[:, 2] += trunk_height * 0.5
        direction = centres * [1, 1, 0] + [0, 0, 0.1]
    else:
        centres[:, 2] = np.interp(
            centres[:, 2],
            (centres[:, 2].min(), centres[:, 2].max()),
            (trunk_height, 0.97),
        )
        direction = centres - [0, 0, (1 + trunk_height) / 2]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
    leaves = _cards(rng, centres, rng.uniform(0.1, 0.18), direction)
    parts = [
        np.concatenate(pair)
        for pair in zip(
            (trunk.positions, trunk.normals, trunk.uvs), leaves, strict=True
        )
    ]
    ids = np.repeat([0, 1], [len(trunk.positions), len(leaves[0])])
    return _mesh(name, "tree", *parts, ids)


def bush(name: str, rng: np.random.Generator) -> Mesh:
    """A bush one unit high and wide, all leaf cards (material 0 is leaf)."""
    count = int(rng.integers(60, 140))
    direction = rng.normal(size=(count, 3))
    direction[:, 2] = np.abs(direction[:, 2])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centres = direction * 0.45 * rng.uniform(0.3, 1, (count, 1)) ** 0.5
    centres[:, 2] = centres[:, 2] * 1.8 + 0.05
    return _mesh(name, "bush", *_cards(rng, centres, 0.3, direction))


def grass(name: str, rng: np.random.Generator) -> Mesh:
    """A tuft one unit across and high: upright crossed cards with blades."""
    cards = []
    for _ in range(int(rng.integers(5, 9))):
        turn, offset = rng.uniform(0, 6.3), rng.uniform(-0.3, 0.3, 2)
        base = quad()
        c, s = np.cos(turn), np.sin(turn)
        spin = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        scale = [rng.uniform(0.5, 1), 1, rng.uniform(0.5, 1)]
        cards.append((base.positions * scale @ spin.T + [*offset, 0], base.uvs))
    points, uvs = (np.concatenate(part) for part in zip(*cards, strict=True))
    return _mesh(name, "grass", points, np.tile([0, 0, 1.0], (len(points), 1)), uvs)
