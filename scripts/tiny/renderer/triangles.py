"""A scene as one list of triangles in the world, with what each is made of.

`render.py` places meshes in its shaders; a ray tracer takes them placed. One list per
scene is built in some 0.1 seconds however many things stand in it, where an object per
thing costs more than the picture.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scene import Scene

LIFT = 3e-5  # metres
METAL, GLASS, EMISSION, BUMP = range(4)  # columns of Triangles.kind


@dataclass(frozen=True)
class Triangles:
    """Triangles in the world; those of 3n rows are by corner.

    Attributes:
        positions: float32 (3n, 3) in metres, counter-clockwise seen from outside.
        normals: float32 (3n, 3), at less than 80 degrees to the triangle's own.
        uvs: float32 (3n, 2), row 0 of a texture at v = 1.
        tints: float32 (n, 4), linear albedo that the texture is multiplied with, and
            roughness.
        kinds: float32 (n, 4): metal and glass, both 0 to 1; light given off, in
            multiples of the albedo; height of the texture's relief in metres.
        layers: int (n,), number of the texture, -1 where there is none.
        cutout: bool (n,), the texture has holes.
    """

    positions: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    tints: np.ndarray
    kinds: np.ndarray
    layers: np.ndarray
    cutout: np.ndarray

    def chosen(self, mask: np.ndarray) -> "Triangles":
        """Return the triangles of a mask (n,)."""
        corners = np.repeat(mask, 3)
        by_corner = [a[corners] for a in (self.positions, self.normals, self.uvs)]
        rest = [a[mask] for a in (self.tints, self.kinds, self.layers, self.cutout)]
        return Triangles(*by_corner, *rest)


def triangles(scene: Scene, rng: np.random.Generator) -> Triangles:
    """Return all instances of a scene as triangles.

    Args:
        scene: what `render.Renderer` draws.
        rng: decides what is metal, glass or polished, once for each material.
    """
    pack = scene.pack
    rows = np.array(scene.instances, np.float32)
    models = [pack.models[number] for number in scene.models]
    first, count, base = np.array([(m.first, m.count, m.base) for m in models]).T
    owner = np.repeat(np.arange(len(models)), count)
    start = np.repeat(first - np.cumsum(count) + count, count)
    numbers = pack.indices[start + np.arange(len(owner))] + np.repeat(base, count)
    vertices = pack.vertices[numbers]
    cutout = np.array([m.cutout for m in models])[owner[::3]]

    matrix = rows[:, :12].reshape(-1, 3, 4)
    x, y, z = matrix[:, :, 0], matrix[:, :, 1], matrix[:, :, 2]
    cofactor = np.stack([np.cross(y, z), np.cross(z, x), np.cross(x, y)], 2)
    mirrored = np.linalg.det(matrix[:, :, :3]) < 0
    cofactor[mirrored] *= -1
    local = np.ascontiguousarray(vertices["position"])
    directions = (vertices["normal"][:, :3].astype(np.float32) - 128) / 127
    positions = np.empty_like(local)
    for model, (low, high) in enumerate(spans(count)):  # a thing's corners lie together
        part = slice(low, high)
        positions[part] = local[part] @ matrix[model, :, :3].T + matrix[model, :, 3]
    size = np.linalg.norm(matrix[:, :, :3], axis=1)
    uvs = mapped(rows, size, owner, local, directions, vertices["uv"])
    for model, (low, high) in enumerate(spans(count)):
        directions[low:high] = directions[low:high] @ cofactor[model].T

    tints, kinds, layers = materials(
        scene, rng, rows[owner[::3]], vertices["material"][::3, 0]
    )
    directions = unit(directions)
    # Of two sides in one plane either shades the other black, unless one lies above.
    lift = LIFT * (0.618034 * np.arange(len(models)) % 1)
    positions += directions * lift.astype(np.float32)[owner][:, None]
    order, normals, solid = wound(positions, directions, cutout)
    arrays = (positions[order], normals, uvs[order], tints, kinds)
    return Triangles(*arrays, layers, cutout & (layers >= 0)).chosen(solid)


def spans(counts: np.ndarray) -> list[tuple[int, int]]:
    """Return where each of the consecutive parts begins and ends."""
    ends = np.cumsum(counts).tolist()
    return list(pairwise([0, *ends]))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., 3) at length 1; zero stays zero."""
    squares = np.einsum("...i,...i->...", vectors, vectors)
    return vectors / np.sqrt(np.maximum(squares, 1e-30))[..., None]


def mapped(rows, size, owner, local, directions, own) -> np.ndarray:
    """Return uvs (3n, 2): the mesh's own, or the plane that a triangle faces most."""
    tile = rows[:, 18]
    box = (rows[:, 17] > 0.5) & (rows[:, 16] >= 0)
    uvs = own * tile[owner][:, None]
    at = np.nonzero(np.repeat(box[owner[::3]], 3))[0]
    thing = owner[at]
    facing = (directions[at] / size[thing]).reshape(-1, 3, 3).sum(1)
    axis = np.repeat(np.argmax(np.abs(facing)[:, ::-1], 1), 3)  # z before y before x
    places = local[at] * (size / tile[:, None])[thing]
    across = np.where(axis == 2, 1, 0)  # yz, xz or xy
    upward = np.where(axis == 0, 1, 2)
    line = np.arange(len(at))
    uvs[at] = np.stack([places[line, across], places[line, upward]], 1)
    return uvs


def wound(positions, normals, cutout):
    """Return the order of corners that agrees with the normals, these, what has area.

    A ray tracer shades black where a normal looks away from its triangle's side, as it
    does in furniture that was modelled with either winding. Leaf cards get flat ones.
    """
    corners = positions.reshape(-1, 3, 3)
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    solid = np.einsum("ni,ni->n", face, face) > 1e-24
    face = unit(face)
    wrong = np.einsum("nj,nj->n", face, normals.reshape(-1, 3, 3).sum(1)) < 0
    order = np.arange(len(positions)).reshape(-1, 3)
    order[wrong] = order[wrong][:, [0, 2, 1]]
    face[wrong] *= -1
    order = order.ravel()
    normals = normals[order].reshape(-1, 3, 3)
    flat = np.einsum("nj,nkj->nk", face, normals) < 0.18
    flat |= cutout[:, None]
    normals = np.where(flat[..., None], face[:, None], normals)
    return order, normals.reshape(-1, 3), solid


def materials(scene: Scene, rng, rows, numbers):
    """Return tints (n, 4), kinds (n, 4) and texture layers (n,) by triangle.

    Args:
        rows: of the instance, (n, 20).
        numbers: of the mesh's own material, (n,).
    """
    pack = scene.pack
    table = pack.materials.reshape(-1, 2, 4)
    by_material, by_layer = rng.random((len(table), 2)), rng.random(len(pack.layers))
    metals = np.zeros(len(pack.layers) + 1, bool)
    metals[pack.by_group.get("metal", [])] = True

    own, mesh, chance = rows[:, 16] == -1, table[numbers, 0], by_material[numbers]
    colour = np.where(own[:, None], mesh[:, :3], 1) * rows[:, 12:15]
    gloss = np.where(own, mesh[:, 3] + rows[:, 15], rows[:, 15]).clip(0, 0.95)
    layers = np.where(own, table[numbers, 1, 0], rows[:, 16]).astype(int).clip(-1)

    # What the mesh reader made of glass: dark, untextured, as glossy as can be.
    bare = own & (layers < 0)
    dark = (mesh[:, :3].max(1) < 0.62) & (mesh[:, 3] >= 0.899)
    glass = bare & dark & (chance[:, 0] < 0.6)
    shiny = bare & ~glass & (mesh[:, 3] > 0.5) & (chance[:, 0] < 0.4)
    # A surface without a texture is known by its colour alone.
    code = (rows[:, 12:15] * (12.9898, 78.233, 37.719)).sum(1) * 43758.5453
    painted = ~own & (layers < 0) & (gloss > 0.15) & (code % 1 < 0.2)
    sheet = ~own & metals[layers] & (by_layer[layers] < 0.7)
    metal = shiny | painted | sheet
    gloss = np.where(metal, 0.5 + 0.45 * chance[:, 1], gloss)
    gloss = np.where(glass, 0.9, gloss)
    albedo = np.clip(colour**2, 0.0, 0.92)
    albedo = np.where(metal[:, None], np.maximum(albedo, 0.25), albedo)
    albedo = np.where(glass[:, None], 0.75 + 0.25 * albedo, albedo)

    roughness = ((1 - gloss) ** 1.3).clip(0.03, 1)
    tints = np.column_stack([albedo, roughness])
    bump = np.full(len(rows), scene.look.bump)
    kinds = np.column_stack([metal, glass, rows[:, 19], bump])
    return tints.astype(np.float32), kinds.astype(np.float32), layers
