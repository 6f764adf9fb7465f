"""Surface normals of a map in metres, and the picture of them."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth.camera import Intrinsics
from jax_depth.depth_map import DepthMap

# Neighbours to each side of a pixel, and how far the last is, of the longer side: maps
# are enlarged from the network's grid, below which they hold steps and no slopes.
_SIDE, _REACH = 3, 0.015
# Neighbours whose inverse depth differs by this much are of something else.
_OTHER = 0.02
# Pixels of a band, whose neighbours stay in a processor's cache.
_BAND = 1 << 15


def normals(depth: DepthMap, camera: Intrinsics) -> Float32[np.ndarray, "h w 3"]:
    """Return unit normals that face the camera, of planes fitted around each pixel.

    The inverse depth of a plane is linear in column and row. Least squares over 7x7
    neighbours, up to 1.5 % of the longer side away, give its two slopes. The farther a
    neighbour's inverse depth is from the pixel's, the less it counts, and what differs
    by 2 % (on slopes that are steep themselves by more) is of another surface: Tukey's
    biweight, as in F. Mosteller and J. W. Tukey, Data Analysis and Regression, 1977.

    Args:
        depth: metric map of at least 2x2 pixels, finite. A wrong scale does not change
            normals, a wrong shift of inverse depth does, so a relative map has none.
        camera: of the photo.

    Returns:
        float32 (h, w, 3): x to the right, y up, z towards the viewer.

    Raises:
        ValueError: the map is not in metres, not finite, or narrower than 2 pixels.
    """
    if depth.kind != "metric_depth":
        raise ValueError(
            f"the map is {depth.kind} of unknown scale and shift, so its normals are "
            "not determined; bring it to metres first"
        )
    if min(depth.shape) < 2 or not np.isfinite(depth.values).all():
        raise ValueError(f"{depth} must be finite and have 2x2 pixels for normals")
    height, width = depth.shape
    # Depth 0 is nowhere, and its neighbours do without it.
    inverse = np.full(depth.shape, np.nan, np.float32)
    np.divide(1, depth.values, out=inverse, where=depth.values > 0)
    step = max(1, round(_REACH * max(depth.shape) / _SIDE))
    padded = np.pad(inverse, _SIDE * step, constant_values=np.nan)
    found = np.empty((height, width, 3), np.float32)

    def fill(start: int) -> None:
        rows = slice(start, start + band)
        part = padded[start : start + band + 2 * _SIDE * step]
        value, across, down = _planes(part, step)
        x = np.arange(width) - camera.cx
        y = np.arange(height)[rows, None] - camera.cy
        ahead = value - across * x - down * y
        normal = np.stack([-across * camera.fx, down * camera.fy, ahead], -1)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        # Seen head-on, for lack of anything better.
        known = length > 0
        flat = np.array([0.0, 0.0, 1.0])
        found[rows] = np.where(known, normal / np.where(known, length, 1), flat)

    band = max(1, _BAND // width)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(fill, range(0, height, band)))
    return found


def normal_map(depth: DepthMap, camera: Intrinsics) -> UInt8[np.ndarray, "h w 3"]:
    """Return normals as RGB, 127.5 (n + 1) rounded: the convention of OpenGL.

    Facing the camera is (128, 128, 255), upwards is green, to the right is red.

    Raises:
        ValueError: as `normals`.
    """
    return np.rint(127.5 * (normals(depth, camera) + 1)).astype(np.uint8)


def _planes(padded: np.ndarray, step: int) -> tuple[np.ndarray, ...]:
    """Return of each pixel inverse depth on its plane, and its change to the right and
    downwards per pixel; NaN where it is unknown.

    Args:
        padded: inverse depth, float32, with `_SIDE * step` more pixels on each side.
        step: pixels from one neighbour to the next.
    """
    around, edge = 2 * _SIDE + 1, _SIDE * step
    span = 2 * edge + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (span, span))
    inside = padded[edge:-edge, edge:-edge]
    columns, rows = _slope(padded, edge, 1), _slope(padded, edge, 0)
    steep = np.maximum(np.abs(columns), np.abs(rows))
    other = np.maximum(_OTHER * inside, 2 * step * steep)
    change = windows[..., ::step, ::step] - inside[..., None, None]
    change = change.reshape(*inside.shape, around**2)
    # In steps, so that all sums are of one size.
    down, right = np.divmod(np.arange(around**2), around) - np.array([[_SIDE]])
    weight = np.maximum(1 - (change / other[..., None]) ** 2, 0) ** 2
    weight *= np.exp(-(right**2 + down**2) / _SIDE**2).astype(np.float32)
    unknown = np.isnan(weight)
    weight[unknown] = change[unknown] = 0
    one = np.ones_like(right)
    terms = [one, right, down, right * right, right * down, down * down]
    terms = np.stack(terms, axis=1).astype(np.float32)
    s, sx, sy, sxx, sxy, syy = np.moveaxis(weight @ terms, -1, 0)
    weight *= change
    sv, sxv, syv = np.moveaxis(weight @ terms[:, :3], -1, 0)
    s = np.maximum(s, 1)
    a, b, c = sxx - sx * sx / s, sxy - sx * sy / s, syy - sy * sy / s
    e, f = sxv - sx * sv / s, syv - sy * sv / s
    size = a * c - b * b
    # Neighbours on a line, or none, leave a slope open: that of the pixels beside it.
    fitted = (size > 0.01 * (a + c) ** 2) & (a + c > 0.1)
    size = np.where(fitted, size, 1) * step
    across = np.where(fitted, (c * e - b * f) / size, columns)
    down = np.where(fitted, (a * f - b * e) / size, rows)
    value = inside + np.where(fitted, (sv - step * (across * sx + down * sy)) / s, 0)
    return value, across, down


def _slope(padded: np.ndarray, edge: int, axis: int) -> np.ndarray:
    """Return the smaller of the changes to the two pixels beside each; 0 without any.

    Of two sides of which one lies across an edge it is the other.
    """
    change = np.diff(padded, axis=axis)
    inside = [slice(edge, -edge)] * 2
    inside[axis] = slice(edge - 1, padded.shape[axis] - edge)
    change = change[tuple(inside)]
    one, other = [slice(None)] * 2, [slice(None)] * 2
    one[axis], other[axis] = slice(None, -1), slice(1, None)
    sides = np.abs(np.stack([change[tuple(one)], change[tuple(other)]]))
    first = ~(sides[0] > sides[1]) & ~np.isnan(sides[0])
    first |= np.isnan(sides[1])
    return np.nan_to_num(np.where(first, change[tuple(one)], change[tuple(other)]))
