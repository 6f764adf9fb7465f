"""Resizes of the input photo and of the output map, in NumPy.

The resizes inside the network are in `jax_depth/models/resize.py`. These here run
once per photo on the host, where the sizes differ from call to call and compiling
a program for each would cost more than the resize.

A kernel lists the inputs that each output on an axis depends on; `matrix` turns it into
the matrix that a program multiplies by.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped
from PIL import Image

from jax_depth.inference import bands

# Overlaps of a source pixel with a cell below this are dropped, as in OpenCV.
_LEAST_OVERLAP = 1e-3


def resize_cubic(
    image: Shaped[np.ndarray, "h w c"], size: tuple[int, int]
) -> Float64[np.ndarray, "h2 w2 c"]:
    """Resize an image as `cv2.resize(..., interpolation=cv2.INTER_CUBIC)` does.

    Cubic convolution with a = -0.75, no antialiasing, edges repeated, not clipped:
    the result can leave the range of the input. Equals cv2 4.14 and 5.0 on float64
    images to rounding of the last bit.

    Args:
        image: pixels of any real type, in any range; uint8 is not rounded or
            clipped back to uint8, unlike in cv2.
        size: (rows, columns) of the result, at least 1 each.
    """
    return bands.resize(image, cubic_cv2, size)


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
    values: Float32[np.ndarray, "h w"], size: tuple[int, int], *, aligned: bool = True
) -> Float32[np.ndarray, "h2 w2"]:
    """Resize a map bilinearly, the last step of Depth Anything.

    Equals torch's `F.interpolate(values, size, mode="bilinear", align_corners=...)`,
    by which the authors bring the map to the photo's own size: with aligned corners in
    `infer_image` of Depth-Anything-V2 (depth_anything_v2/dpt.py), without in `run.py`
    of Depth-Anything.

    Args:
        values: the map.
        size: (rows, columns) of the result, at least 1 each.
        aligned: whether the centres of the corner pixels coincide (`align_corners`)
            rather than the outer edges.
    """
    kernel = linear_aligned if aligned else linear
    return bands.resize(values[..., None], kernel, size, np.float32)[..., 0]


def resize_bicubic(
    values: Float32[np.ndarray, "h w"], size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2"]:
    """Resize a map bicubically, which can leave the range of the map.

    Equals torch's `F.interpolate(values, size, mode="bicubic")`, by which
    `post_process_depth_estimation` of transformers
    (models/dpt/image_processing_dpt.py) brings the map to the photo's own size.

    Args:
        values: the map.
        size: (rows, columns) of the result, at least 1 each.
    """
    return bands.resize(values[..., None], cubic, size, np.float32)[..., 0]


def matrix(
    kernel: bands.Kernel, inputs: int, outputs: int
) -> Float64[np.ndarray, "o i"]:
    """Return the matrix of a resize along one axis, for programs."""
    made = np.zeros((outputs, inputs))
    for index, weight in zip(*kernel(inputs, outputs), strict=True):
        np.add.at(made, (np.arange(outputs), index), weight)
    return made


def cubic_cv2(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "4 n"], Float64[np.ndarray, "4 n"]]:
    """Cubic convolution, a = -0.75, as cv2 computes it.

    Positions and weights are float32 even for float64 images
    (modules/imgproc/src/resize.cpp, `interpolateCubic`), which is visible in the
    fourth decimal on large photos.
    """
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


def area(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "k n"], Float32[np.ndarray, "k n"]]:
    """The mean over each cell, to shrink: `cv2.resize` with INTER_AREA.

    Upstream: opencv/opencv modules/imgproc/src/resize.cpp (`computeResizeAreaTab`).
    """
    scale = inputs / outputs
    begin = np.arange(outputs) * scale
    end = begin + scale
    cell = np.minimum(scale, inputs - begin)
    last = np.minimum(np.floor(end).astype(np.int64), inputs - 1)
    first = np.minimum(np.ceil(begin).astype(np.int64), last)
    before = np.where(first - begin > _LEAST_OVERLAP, first - begin, 0)
    after = np.where(
        end - last > _LEAST_OVERLAP, np.minimum(np.minimum(end - last, 1), cell), 0
    )
    index, weight = [np.maximum(first - 1, 0)], [before / cell]
    for k in range(int((last - first).max())):
        index.append(np.minimum(first + k, inputs - 1))
        weight.append(np.where(first + k < last, 1 / cell, 0))
    index.append(last)
    weight.append(after / cell)
    return np.stack(index), np.stack(weight).astype(np.float32)


def linear_aligned(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "2 n"], Float32[np.ndarray, "2 n"]]:
    """Linear interpolation, the outer samples of both in the same places.

    Positions are float32 as in torch (aten/src/ATen/native/UpSample.h,
    `area_pixel_compute_source_index`). An output of size 1 takes the first sample.
    """
    scale = np.float32((inputs - 1) / (outputs - 1) if outputs > 1 else 0)
    return _linear(np.arange(outputs, dtype=np.float32) * scale, inputs)


def linear(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "2 n"], Float32[np.ndarray, "2 n"]]:
    """Linear interpolation, the outer edges of both in the same places.

    As torch with `align_corners=False`: no antialiasing, edges repeated.
    """
    return _linear(np.maximum(_half_pixel(inputs, outputs), 0), inputs)


def cubic(
    inputs: int, outputs: int
) -> tuple[Int64[np.ndarray, "4 n"], Float32[np.ndarray, "4 n"]]:
    """Cubic convolution, a = -0.75, as torch computes it with float32 positions."""
    position = _half_pixel(inputs, outputs)
    left = np.floor(position)
    shifts = np.arange(-1, 3)[:, None]
    t = np.abs((position - left).astype(np.float64) - shifts)
    a = -0.75
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    weight = np.where(t <= 1, near, far).astype(np.float32)
    return np.clip(left.astype(np.int64) + shifts, 0, inputs - 1), weight


def _half_pixel(inputs: int, outputs: int) -> Float32[np.ndarray, " n"]:
    # Rounded once, as the fused multiply-add of torch's vector code does.
    step = np.float64(np.float32(inputs) / np.float32(outputs))
    return (step * (np.arange(outputs) + 0.5) - 0.5).astype(np.float32)


def _linear(position: np.ndarray, inputs: int):
    """Return indices and weights of the two samples around each position."""
    left = np.minimum(position.astype(np.int64), inputs - 1)
    right = np.minimum(left + 1, inputs - 1)
    x = np.clip(position - left.astype(np.float32), 0, 1).astype(np.float32)
    return np.stack([left, right]), np.stack([np.float32(1) - x, x])
