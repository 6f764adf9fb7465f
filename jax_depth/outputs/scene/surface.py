"""Depth map to points and triangles, without curtains where depth jumps."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Float32, Int32, Real, UInt8

from jax_depth.camera import Intrinsics, PlacedCamera, back_project
from jax_depth.depth_map import DepthMap
from jax_depth.formats.glb import Coloured
from jax_depth.outputs.scene import edges
from jax_depth.outputs.scene.fill import behind

# Degrees. A floor 1.5 m below the camera is kept up to 28 m; a step of 6 % in depth
# from one pixel to the next is cut from a focal length of 320 pixels on.
EDGE_ANGLE = 3.0
MAX_POINTS = 1_000_000
# A metric model's sigmoid saturates: beyond this share of max_depth is "far away".
_SATURATED = 0.99
# Triangles whose angles are computed at once: about 50 MB of temporaries.
_CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """What a photo shows, in three dimensions.

    Points are in metres in the camera's frame with x to the right, y up and z towards
    the viewer: the scene lies along -z, as in glTF.

    Attributes:
        points: float32 (n, 3).
        colors: uint8 (n, 3) sRGB.
        pixels: int32 (n, 2), column and row in the photo each point is from; float32
            of a surface with fewer triangles, whose points lie between pixels.
        triangles: int32 (m, 3), points counter-clockwise as the camera sees them.
        shape: height and width of the photo.
        camera: of the photo.
        behind: what is guessed to be behind objects, in the axes of `world`; None
            unless requested.
        painted: uint8 (h2, w2, 3), the photo with the background continued behind
            objects, of any size; None without `behind`.
    """

    points: Float32[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    pixels: Real[np.ndarray, "n 2"]
    triangles: Int32[np.ndarray, "m 3"]
    shape: tuple[int, int]
    camera: Intrinsics
    behind: Coloured | None = None
    painted: UInt8[np.ndarray, "h2 w2 3"] | None = None

    @property
    def world(self) -> Float32[np.ndarray, "n 3"]:
        """The points with y down and z forward, as files are given them."""
        return self.points * np.array([1, -1, -1], np.float32)

    def placed(self, name: str = "photo") -> PlacedCamera:
        """Return the camera, which is the world's own frame."""
        return PlacedCamera(self.camera, self.shape, name=name)


def lift(
    depth: DepthMap,
    photo: UInt8[np.ndarray, "h w 3"],
    camera: Intrinsics,
    *,
    max_depth: float | None = None,
    edge_angle: float = EDGE_ANGLE,
    max_points: int = MAX_POINTS,
    fill: bool = False,
) -> Surface:
    """Return the surface that a map in metres describes.

    Neighbouring pixels are joined by two triangles. A triangle whose plane the camera
    sees at less than `edge_angle` bridges a jump in depth rather than belonging to
    something: it is left out, and so are points that belong to no other triangle. Edges
    that the network blurred over several pixels are sharpened first. The angle does not
    depend on the photo's resolution, as a bound on the jump would.

    Args:
        depth: metric map.
        photo: uint8 RGB of the same size; of OpenCV's BGR give `photo[..., ::-1]`.
        camera: of the photo.
        max_depth: metres beyond which nothing is shown; by default 99 % of where
            the model saturates, or no limit.
        edge_angle: degrees; 0 keeps every triangle.
        max_points: where the photo has more pixels, every n-th row and column is used.
        fill: guess what is behind objects, see `fill.behind`.

    Raises:
        ValueError: the map is not in metres, sizes differ, an option makes no sense,
            nothing is left, or OpenCV, needed to fill, is missing.
    """
    if depth.kind != "metric_depth":
        raise ValueError(
            f"the map is {depth.kind} of unknown scale; bring it to metres with "
            "DepthMap.to_metric or scene.between first"
        )
    if photo.shape != (*depth.shape, 3):
        raise ValueError(
            f"the photo is {photo.shape[1]}x{photo.shape[0]} but its depth "
            f"{depth.shape[1]}x{depth.shape[0]}"
        )
    if not 0 <= edge_angle < 90:
        raise ValueError(f"edge angle {edge_angle:g} is not in [0, 90) degrees")
    if max_points < 4:
        raise ValueError(f"at most {max_points} points make no surface; use 4 or more")
    if max_depth is None:
        max_depth = _SATURATED * depth.max_depth if depth.max_depth else math.inf
    rows, columns = _grid(depth.shape, max_points)
    z = depth.values[np.ix_(rows, columns)].astype(np.float64)
    valid = np.isfinite(z) & (z > 0) & (z <= max_depth)
    triangles = grid_triangles(len(rows), len(columns), valid.ravel())
    z = np.where(valid, z, 1.0)
    if edge_angle:
        z = with_hard_edges(z, triangles, camera, rows, columns, edge_angle)
    layer = painted = None
    if fill:
        colors = photo[np.ix_(rows, columns)]
        layer, painted = _behind(z, valid, colors, camera, rows, columns, edge_angle)
    points = unproject(z, camera, rows, columns).reshape(-1, 3)
    triangles = triangles[_steep_enough(points, triangles, edge_angle)]
    used, triangles = np.unique(triangles, return_inverse=True)
    if not used.size:
        raise ValueError(
            f"no surface is left of the map ({depth}): nothing nearer than "
            f"{max_depth:g} m is seen at {edge_angle:g} degrees or more"
        )
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)[used]
    return Surface(
        points=points[used].astype(np.float32),
        colors=photo[pixels[:, 1], pixels[:, 0]],
        pixels=pixels.astype(np.int32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        shape=depth.shape,
        camera=camera,
        behind=layer,
        painted=painted,
    )


def _behind(
    z, valid, colors, camera, rows, columns, edge_angle
) -> tuple[Coloured | None, np.ndarray | None]:
    """Return the surface behind objects, and the picture with them painted over."""
    farthest = z[valid].max(initial=0.0)
    # What is too far to be shown has nothing before it that could be carried on.
    layer = behind(np.where(valid, z, 10 * farthest), colors)
    if layer is None:
        return None, None
    there = layer.there & (layer.z <= 1.05 * farthest)
    points = unproject(layer.z, camera, rows, columns).reshape(-1, 3)
    triangles = grid_triangles(len(rows), len(columns), there.ravel())
    triangles = triangles[_steep_enough(points, triangles, edge_angle)]
    used, triangles = np.unique(triangles, return_inverse=True)
    if not used.size:
        return None, None
    surface = Coloured(
        (points[used] * (1, -1, -1)).astype(np.float32),
        layer.colors.reshape(-1, 3)[used],
        triangles.reshape(-1, 3).astype(np.int32),
    )
    return surface, layer.colors


def with_hard_edges(z, triangles, camera: Intrinsics, rows, columns, edge_angle):
    """Return depth whose edges lie between two pixels, see `edges.snapped`.

    Args:
        z: depth (h, w), above 0.
        triangles: of its pixels, see `grid_triangles`.
        camera, rows, columns: see `unproject`.
        edge_angle: see `lift`.
    """
    points = unproject(z, camera, rows, columns).reshape(-1, 3)
    wide = edges.shoulder_angle(edge_angle)
    masks = []
    for angle in (edge_angle, wide):
        mask = np.zeros(z.size, bool)
        mask[triangles[~_steep_enough(points, triangles, angle)]] = True
        masks.append(mask.reshape(z.shape))
    return edges.snapped(z, *masks)


def unproject(
    z: Float[np.ndarray, "h w"],
    camera: Intrinsics,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> Float[np.ndarray, "h w 3"]:
    """Return the points of depths along the optical axis: x right, y up, -z forward.

    Args:
        z: depth, float64, in any unit.
        camera: of the photo.
        rows, columns: which of the photo's they are; all when None.
    """
    return back_project(z, camera, rows=rows, columns=columns) * (1, -1, -1)


def _grid(shape: tuple[int, int], max_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns to use, the first and the last among them."""
    step = max(1.0, math.sqrt(shape[0] * shape[1] / max_points))
    counts = [max(2, math.floor(side / step)) if side > 1 else 1 for side in shape]
    rows, columns = (
        np.rint(np.linspace(0, side - 1, count)).astype(np.intp)
        for side, count in zip(shape, counts, strict=True)
    )
    return rows, columns


def grid_triangles(height: int, width: int, valid: np.ndarray) -> np.ndarray:
    """Return two triangles for every four neighbours, where all corners are valid."""
    index = np.arange(height * width).reshape(height, width)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    both = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)])
    return both[valid[both].all(axis=1)]


def _steep_enough(points, triangles, degrees: float) -> np.ndarray:
    """Return which triangles the camera sees at `degrees` or more: bool (m,)."""
    keep = np.ones(len(triangles), bool)
    if degrees == 0:
        return keep
    for start in range(0, len(triangles), _CHUNK):
        p, q, r = np.moveaxis(points[triangles[start : start + _CHUNK]], 1, 0)
        normal = np.cross(q - p, r - p)
        ray = p + q + r
        sine = np.abs(np.einsum("ij,ij->i", normal, ray))
        bound = math.sin(math.radians(degrees))
        lengths = np.linalg.norm(normal, axis=1) * np.linalg.norm(ray, axis=1)
        keep[start : start + _CHUNK] = sine >= bound * lengths
    return keep
