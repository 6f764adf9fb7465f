"""Resizes at the two ends of inference, in NumPy: photo in, map out.

The resizes inside the network are in `jax_depth/models/resize.py`. These here run
once per photo on the host, where the sizes differ from call to call and compiling
a program for each would cost more than the resize.

A photo enlarges or shrinks along rows and columns separately, and each output
sample depends on few input samples ("taps"), so both passes are gathers followed
by a weighted sum. Rows go first: they are contiguous in memory, and only the rows
that are needed are read.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped
from PIL import Image

# Output rows are made in groups whose working set stays in a core's cache.
_VALUES_PER_GROUP = 1 << 17


def resize_cubic(
    image: Shaped[np.ndarray, "h w c"], size: tuple[int, int]
) -> Float64[np.ndarray, "h2 w2 c"]:
    """Resize an image as `cv2.resize(..., interpolation=cv2.INTER_CUBIC)` does.

    Cubic convolution with a = -0.75, no antialiasing, edges repeated, not clipped:
    the result can leave the range of the input. Equals cv2 4.14 and 5.0 on float64
    images to rounding of the last bit; cv2 computes positions and weights in
    float32 even then (modules/imgproc/src/resize.cpp, `interpolateCubic`), which
    is visible in the fourth decimal on large photos, so this does the same.

    Args:
        image: pixels of any real type, in any range; uint8 is not rounded or
            clipped back to uint8, unlike in cv2.
        size: (rows, columns) of the result, at least 1 each.
    """
    row_index, row_weight = _cubic_taps(image.shape[0], size[0])
    column_index, column_weight = _cubic_taps(image.shape[1], size[1])
    result = np.empty((*size, image.shape[2]), np.float64)
    for rows in _groups(size[0], image.shape[1] * image.shape[2]):
        strip = _weighted_sum(image, row_index[:, rows], row_weight[:, rows], 0)
        result[rows] = _weighted_sum(strip, column_index, column_weight, 1)
    return result


def cubic_matrix(inputs: int, outputs: int) -> Float64[np.ndarray, "o i"]:
    """Return the matrix of `resize_cubic` along one axis, for programs."""
    matrix = np.zeros((outputs, inputs))
    for index, weight in zip(*_cubic_taps(inputs, outputs), strict=True):
        np.add.at(matrix, (np.arange(outputs), index), weight)
    return matrix


def resize_bicubic_uint8(
    image: Shaped[np.ndarray, "h w c"], size: tuple[int, int]
) -> Shaped[np.ndarray, "h2 w2 c"]:
    """Resize a uint8 RGB image as `PIL.Image.resize(..., BICUBIC)` does.

    Pillow itself does it: cubic convolution with a = -0.5, antialiased, in fixed
    point, rounded and clipped to uint8 after each of the two passes.

    Args:
        image: uint8 pixels, three channels.
        size: (rows, columns) of the result, at least 1 each.
    """
    resized = Image.fromarray(image).resize(
        (size[1], size[0]), Image.Resampling.BICUBIC
    )
    return np.asarray(resized)


def resize_bilinear(
    values: Float32[np.ndarray, "h w"], size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2"]:
    """Resize a map bilinearly with aligned corners, as Depth Anything V2 ends.

    Equals torch's `F.interpolate(values, size, mode="bilinear",
    align_corners=True)`, which `infer_image` of Depth-Anything-V2
    (depth_anything_v2/dpt.py) uses to bring the map to the photo's own size. Like
    torch it computes positions in float32 (aten/src/ATen/native/UpSample.h,
    `area_pixel_compute_source_index`). An output of size 1 takes the first sample.

    Args:
        values: the map.
        size: (rows, columns) of the result, at least 1 each.
    """
    row_index, row_weight = _bilinear_taps(values.shape[0], size[0])
    column_index, column_weight = _bilinear_taps(values.shape[1], size[1])
    # Columns first here: the map is usually enlarged, so this is the small pass.
    wide = np.empty((values.shape[0], size[1]), np.float32)
    for rows in _groups(values.shape[0], size[1]):
        wide[rows] = _weighted_sum(values[rows], column_index, column_weight, 1)
    result = np.empty(size, np.float32)
    for rows in _groups(size[0], size[1]):
        result[rows] = _weighted_sum(wide, row_index[:, rows], row_weight[:, rows], 0)
    return result


def _cubic_taps(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "4 n"], Float64[np.ndarray, "4 n"]]:
    """Indices and weights of the four samples under each output sample."""
    # Twice a reciprocal, as in cv2: 1 / (outputs / inputs) is not always
    # inputs / outputs to the last bit.
    scale = 1.0 / (outputs / inputs)
    position = ((np.arange(outputs) + 0.5) * scale - 0.5).astype(np.float32)
    left = np.floor(position)
    x, a, one = position - left, np.float32(-0.75), np.float32(1)
    w0 = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    w1 = ((a + 2) * x - (a + 3)) * x * x + 1
    w2 = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1
    weight = np.stack([w0, w1, w2, one - w0 - w1 - w2])
    index = left.astype(np.int64) + np.arange(-1, 3)[:, None]
    return np.clip(index, 0, inputs - 1), weight.astype(np.float64)


def _bilinear_taps(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "2 n"], Float32[np.ndarray, "2 n"]]:
    """Indices and weights of the two samples under each output sample."""
    scale = np.float32((inputs - 1) / (outputs - 1) if outputs > 1 else 0)
    position = np.arange(outputs, dtype=np.float32) * scale
    left = np.minimum(position.astype(np.int64), inputs - 1)
    right = np.minimum(left + 1, inputs - 1)
    x = np.clip(position - left.astype(np.float32), 0, 1).astype(np.float32)
    return np.stack([left, right]), np.stack([np.float32(1) - x, x])


def _weighted_sum(
    array: np.ndarray, index: np.ndarray, weight: np.ndarray, axis: int
) -> np.ndarray:
    """Sum over taps of `array` gathered along `axis` (0 or 1) times its weight.

    `index` and `weight` are (taps, n); the sum has the type of `weight`.
    """
    trailing = (1,) * (array.ndim - 1 - axis)
    weight = weight.reshape(*weight.shape, *trailing)
    total = np.take(array, index[0], axis) * weight[0]
    for tap_index, tap_weight in zip(index[1:], weight[1:], strict=True):
        tap = np.take(array, tap_index, axis).astype(weight.dtype, copy=False)
        total += np.multiply(tap, tap_weight, out=tap)
    return total


def _groups(rows: int, values_per_row: int) -> list[slice]:
    """Consecutive row ranges of about `_VALUES_PER_GROUP` values each."""
    step = max(1, _VALUES_PER_GROUP // values_per_row)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
