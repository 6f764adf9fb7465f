"""How Depth Anything 3 brings a picture to its network: in 8 bits, by area or cubic.

"upper_bound" brings the longer side to the size, "lower_bound" the shorter one; then
"resize" stretches each side to the nearest multiple of the patch, and "crop" cuts to
the multiple below, around the centre.

Upstream: ByteDance-Seed/Depth-Anything-3 `utils/io/input_processor.py`, which calls
`cv2.resize` with INTER_AREA to shrink and INTER_CUBIC to enlarge.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth.formats.image import Pixels, as_bytes
from jax_depth.inference.resample import area, resize_cubic
from jax_depth.models.resize import resize_half_pixel

METHODS = (
    "upper_bound_resize",
    "upper_bound_crop",
    "lower_bound_resize",
    "lower_bound_crop",
)


class Plan(NamedTuple):
    """Sizes (rows, columns) of a picture, one after the other; the last is a crop."""

    first: tuple[int, int]
    second: tuple[int, int]
    final: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of `second` where the cut begins."""
        (height, width), (rows, columns) = self.second, self.final
        return (height - rows) // 2, (width - columns) // 2


def plan(height: int, width: int, size: int, multiple: int, method: str) -> Plan:
    """Return the sizes of a picture's way; a side of `final` may be 0.

    Args:
        height, width: of the picture.
        size: pixels of the longer side, or of the shorter one for "lower_bound".
        multiple: of which both sides must be.
        method: one of `METHODS`.
    """
    side = max(height, width) if method.startswith("upper") else min(height, width)
    scale = size / side
    first = height, width
    if side != size:
        first = round(height * scale), round(width * scale)
    if method.endswith("crop"):
        height, width = (n // multiple * multiple for n in first)
        return Plan(first, first, (height, width))
    # Ties go up.
    height, width = ((2 * n + multiple) // (2 * multiple) * multiple for n in first)
    return Plan(first, (height, width), (height, width))


def resize_bounded(pixels: Pixels, way: Plan) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Bring a picture along its way; floats in [0, 1] are rounded to 8 bits first."""
    pixels = as_bytes(pixels)
    for size in (way.first, way.second):
        pixels = _resize(pixels, size)
    top, left = way.corner
    rows, columns = way.final
    return pixels[top : top + rows, left : left + columns]


def _resize(pixels, size: tuple[int, int]):
    shape = pixels.shape[0], pixels.shape[1]
    if shape == size:
        return pixels
    if size[0] > shape[0] or size[1] > shape[1]:
        result = resize_cubic(pixels, size)
        return np.clip(np.rint(result), 0, 255).astype(np.uint8)
    return resize_area(pixels, size)


def resize_area(
    pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Shrink by the mean over each cell: `cv2.resize` with INTER_AREA, to the bit.

    Upstream: opencv/opencv modules/imgproc/src/resize.cpp (`resizeArea_`,
    `ResizeAreaFast_Invoker`).
    """
    (h, w, _), (rows, columns) = pixels.shape, size
    if h % rows == 0 and w % columns == 0:
        down, across = h // rows, w // columns
        cells = pixels.reshape(rows, down, columns, across, 3)
        total = cells.sum((1, 3), dtype=np.int64)
        if down == across == 2:
            return ((total + 2) >> 2).astype(np.uint8)
        mean = total.astype(np.float32) * np.float32(1 / (down * across))
        return np.rint(mean).astype(np.uint8)
    x = pixels.astype(np.float32)
    for axis in (1, 0):
        index, weight = area(x.shape[axis], size[axis])
        shape = [1, 1, 1]
        shape[axis] = -1
        total = np.float32(0)
        for i, a in zip(index, weight, strict=True):
            total = total + np.take(x, i, axis) * a.reshape(shape)
        x = np.asarray(total)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


class Window(NamedTuple):
    """Where the network's pixels lie in a photo: network = photo * scale - offset.

    Both count from the picture's corner; (rows, columns).
    """

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]


def window(
    shape: tuple[int, int],
    seen: tuple[int, int],
    size: int,
    multiple: int,
    method: str,
) -> Window:
    """Return the region of a photo that the network saw.

    Args:
        shape: (height, width) of the photo.
        seen: (rows, columns) of the network's pixels.
        size, multiple, method: as in `plan`; a method of other models cuts nothing.
    """
    if method not in METHODS:
        return Window((seen[0] / shape[0], seen[1] / shape[1]), (0.0, 0.0), seen)
    way = plan(*shape, size, multiple, method)
    scale = way.second[0] / shape[0], way.second[1] / shape[1]
    top, left = way.corner
    return Window(scale, (float(top), float(left)), seen)


def to_photo(
    values: Float32[np.ndarray, "h w"], place: Window, size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2"]:
    """Bring a map to its photo's size; NaN where the network saw nothing of it."""
    if place.offset == (0.0, 0.0) and place.size == tuple(
        round(n * s) for n, s in zip(size, place.scale, strict=True)
    ):
        return _grown(values, size)
    begin = [round(o / s) for o, s in zip(place.offset, place.scale, strict=True)]
    end = [
        min(round((o + n) / s), whole)
        for o, n, s, whole in zip(
            place.offset, place.size, place.scale, size, strict=True
        )
    ]
    result = np.full(size, np.nan, np.float32)
    part = slice(begin[0], end[0]), slice(begin[1], end[1])
    inner = end[0] - begin[0], end[1] - begin[1]
    result[part] = _grown(values, inner)
    return result


def _grown(values, size: tuple[int, int]) -> np.ndarray:
    return np.array(resize_half_pixel(values[None, ..., None], size))[0, ..., 0]
