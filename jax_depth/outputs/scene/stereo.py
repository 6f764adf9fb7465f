"""One photo from other eyes by its depth: stereo pair, anaglyph, a swaying view."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.formats.exif import camera_from_view
from jax_depth.inference.resample import resize_bilinear
from jax_depth.outputs.scene.fill import behind
from jax_depth.outputs.scene.surface import EDGE_ANGLE, grid_triangles, with_hard_edges

# Share of the photo's width between the shifts of the nearest and the farthest point;
# the common advice for screens at arm's length is 2 to 3 %.
PARALLAX = 0.03
# Added to inverse depth in [0, 1], so that the farthest point has a depth.
_AWAY = 0.25
# A view that sways once and ends where it began, so that it can loop.
SWAY_FRAMES, SWAY_RATE, SWAY_SIDE = 90, 30, 1280
# Luma of ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114])


def stereo_pair(
    photo: UInt8[np.ndarray, "h w 3"], depth: DepthMap, parallax: float = PARALLAX
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """Return what the left and the right eye would see.

    Inverse depth, which is what parallax is proportional to, is brought to [0, 1], so
    that a relative map serves as well as a metric one. Half-way lies in the plane of
    the screen; nearer things stand before it. What comes into view behind an edge is
    filled with its background.

    Args:
        photo: uint8 RGB; of OpenCV's BGR give `photo[..., ::-1]`.
        depth: of the same size, any kind.
        parallax: share of the width by which the nearest point moves against the
            farthest between the two eyes.

    Raises:
        ValueError: sizes differ, values are not finite, or parallax is not in
            (0, 0.2].
    """
    _check(photo, depth, parallax)
    near = nearness(depth) - 0.5
    amount = parallax * depth.shape[1] / 2
    # Near things are farther right for the left eye.
    return _moved(photo, near, amount), _moved(photo, near, -amount)


def anaglyph(
    photo: UInt8[np.ndarray, "h w 3"], depth: DepthMap, parallax: float = PARALLAX
) -> UInt8[np.ndarray, "h w 3"]:
    """Return one picture for red and cyan glasses, red on the left.

    The left eye's luma in red, the right eye's green and blue ("half colour", which
    spares the eyes the fight over red things).

    Raises:
        ValueError: as `stereo_pair`.
    """
    left, right = stereo_pair(photo, depth, parallax)
    red = np.rint(left @ _LUMA).astype(np.uint8)
    return np.dstack([red, right[..., 1:]])


def swaying(
    photo: UInt8[np.ndarray, "h w 3"],
    depth: DepthMap,
    parallax: float = PARALLAX,
    fill: bool = False,
) -> Iterator[UInt8[np.ndarray, "h2 w2 3"]]:
    """Yield 90 views of a camera that sways to both eyes of `stereo_pair` and back.

    Photos of more than 1280 pixels a side are shrunk to that. The first view is the
    photo.

    Args:
        photo, depth, parallax: see `stereo_pair`.
        fill: paint what comes into view behind an object, see `fill.behind`, instead of
            repeating the background's last pixel.

    Raises:
        ValueError: as `stereo_pair`, or OpenCV, needed to fill, is missing.
    """
    _check(photo, depth, parallax)
    height, width = depth.shape
    shrunk = min(1.0, SWAY_SIDE / max(height, width))
    size = max(1, round(height * shrunk)), max(1, round(width * shrunk))
    near = nearness(depth).astype(np.float32) - np.float32(0.5)
    if shrunk < 1:
        image = Image.fromarray(photo).resize(
            (size[1], size[0]), Image.Resampling.LANCZOS
        )
        photo, near = np.asarray(image), resize_bilinear(near, size)
    back = None
    if fill:
        near, back = _layers(photo, near)
    for frame in range(SWAY_FRAMES):
        angle = 2 * math.pi * frame / SWAY_FRAMES
        yield _moved(photo, near, parallax * size[1] / 2 * math.sin(angle), back)


def film_module() -> ModuleType:
    """Return PyAV, which writes the swaying view.

    Raises:
        ValueError: it is not installed.
    """
    # Late: PyAV is needed for this file alone.
    from jax_depth.video.reading import av_module

    return av_module()


def write_parallax(
    photo: UInt8[np.ndarray, "h w 3"],
    depth: DepthMap,
    path: Path,
    parallax: float,
    fill: bool = False,
) -> None:
    """Write `swaying` as a video of three seconds, whole or not at all.

    Raises:
        ValueError: as `swaying`, or PyAV is not installed.
        OSError: the file cannot be written.
    """
    # Late: PyAV is needed for this file alone.
    from jax_depth.video.writing import VideoWriter

    with VideoWriter(path, SWAY_RATE) as writer:
        for number, view in enumerate(swaying(photo, depth, parallax, fill)):
            writer.write(view, number / SWAY_RATE)


def _check(photo: np.ndarray, depth: DepthMap, parallax: float) -> None:
    if photo.shape != (*depth.shape, 3):
        raise ValueError(
            f"the photo is {photo.shape[1]}x{photo.shape[0]} but its depth "
            f"{depth.shape[1]}x{depth.shape[0]}"
        )
    if not 0 < parallax <= 0.2:
        raise ValueError(f"parallax {parallax:g} is not in (0, 0.2] of the width")


def nearness(depth: DepthMap) -> Float[np.ndarray, "h w"]:
    """Return inverse depth brought to [0, 1], nearest 1; zeros if it is constant.

    Raises:
        ValueError: values are not finite.
    """
    if depth.near_is_large:
        return depth.normalized().astype(np.float64)
    values = depth.values
    # A thousandth of the farthest: otherwise depth 0 alone would be near.
    floor = max(float(values.max()) * 1e-3, 1e-30)
    inverse = (1 / np.maximum(values, np.float32(floor))).astype(np.float32)
    return DepthMap(inverse, "inverse_depth").normalized().astype(np.float64)


def _layers(photo, near) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Return nearness with hard edges, and the picture and nearness behind objects."""
    (height, width), half = near.shape, np.float32(0.5)
    grid = np.arange(height), np.arange(width)
    z = 1 / (near.astype(np.float64) + half + _AWAY)
    triangles = grid_triangles(height, width, np.ones(z.size, bool))
    camera = camera_from_view(near.shape, 60.0)
    z = with_hard_edges(z, triangles, camera, *grid, EDGE_ANGLE)
    layer = behind(z, photo)
    near = (1 / z - _AWAY).astype(np.float32) - half
    if layer is None:
        return near, None
    far = (1 / layer.z - _AWAY).astype(np.float32) - half
    colors = np.where(layer.there[..., None], layer.colors, photo)
    return near, (colors, np.where(layer.there, far, near))


def _moved(photo, near, amount: float, back=None) -> np.ndarray:
    """Return the photo with every pixel `amount` x `near` columns farther right.

    Args:
        photo, near: what is seen from the camera.
        amount: columns.
        back: the same behind objects, seen where they have moved away.
    """
    height, width = near.shape
    seen = _nearness_there(near, amount)
    side, jump = _farther_side(seen)
    # A gap of one column within a surface is no view of what is behind it.
    opened = np.isnan(seen) & (np.abs(amount) * jump > 1)
    # Looked up in the photo, so that a pixel between two is mixed of both.
    source = np.take_along_axis(np.arange(width) - amount * seen, side, axis=1)
    source = np.clip(source, 0, width - 1)
    left = np.floor(source).astype(np.intp)
    right = np.minimum(left + 1, width - 1)
    share = source - left
    # Not of two objects, though: half a column of shift apart is another object.
    rows = np.arange(height)[:, None]
    seen = np.take_along_axis(seen, side, axis=1)
    wrong = [np.abs(amount * (near[rows, x] - seen)) > 0.5 for x in (left, right)]
    share = np.where(wrong[0], 1.0, np.where(wrong[1], 0.0, share))[..., None]
    mixed = photo[rows, left] * (1 - share) + photo[rows, right] * share
    moved = np.rint(mixed).astype(np.uint8)
    if back is None or not opened.any():
        return moved
    hidden, far = back
    return np.where(opened[..., None], _moved(hidden, far, amount), moved)


def _nearness_there(near, amount: float) -> np.ndarray:
    """Return for each pixel of the moved picture the nearness of what is seen there.

    NaN where the photo does not show what comes into view.
    """
    height, width = near.shape
    rows, columns = np.divmod(np.argsort(near, axis=None, kind="stable"), width)
    value = near[rows, columns]
    target = columns + amount * value
    places = np.stack([np.floor(target), np.ceil(target)], axis=-1).astype(np.intp)
    inside = (places >= 0) & (places < width)
    seen = np.full((height, width), np.nan)
    # Of several values for one place NumPy keeps the last: the nearest.
    repeated = [
        np.broadcast_to(x[:, None], places.shape)[inside] for x in (rows, value)
    ]
    seen[repeated[0], places[inside]] = repeated[1]
    return seen


def _farther_side(seen) -> tuple[np.ndarray, np.ndarray]:
    """Return the column to take, and how the nearness of the two sides differs.

    The column is a pixel's own, or across a gap that of the farther side.
    """
    width = seen.shape[1]
    columns = np.broadcast_to(np.arange(width), seen.shape)
    known = ~np.isnan(seen)
    before = np.maximum.accumulate(np.where(known, columns, 0), axis=1)
    after = np.where(known, columns, width - 1)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    left, right = (np.take_along_axis(seen, side, axis=1) for side in (before, after))
    # At the margins, which have one side only, nothing is behind anything.
    jump = np.nan_to_num(np.abs(left - right), nan=0.0)
    farther = np.nan_to_num(left, nan=np.inf) <= np.nan_to_num(right, nan=np.inf)
    return np.where(farther, before, after), jump
