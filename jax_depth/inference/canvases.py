"""Photos of many sizes through few programs, resized on the device.

`predict` is one program for each size of photo, since how a photo is resized belongs to
its program. Here a photo is placed in the corner of a canvas whose sides come from a
short list, together with the interpolation coefficients of its own resizes; those of
the canvas beyond the photo are zero, so nothing there counts. A program is compiled for
each pair of canvas size and network size.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jax_depth._typing import Array, Params
from jax_depth.config import ModelConfig
from jax_depth.formats.image import RGB
from jax_depth.inference.axis_weights import AxisWeights, axis_weights, matrix_of
from jax_depth.inference.on_device import (
    each_map,
    maps_by,
    network_size,
    pixels_by,
    way_back,
    way_in,
)
from jax_depth.models.depth_anything import apply
from jax_depth.models.output import Output

# What an output of the cubic kernels draws on. Pillow's draws on more where it shrinks,
# which is rounded up to a power of two.
_WEIGHTS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Canvases:
    """Photos on canvases of one size, and how each is resized; a pytree of arrays.

    Those whose arrays have the same shapes can be one batch:
    `jax.tree.map(lambda *x: np.concatenate(x), a, b)`.

    Attributes:
        photos: (b, H, W, 3) uint8 or float32, RGB; each in the upper left corner.
        rows, columns: interpolation coefficients from the photo to the network's input.
        back_rows, back_columns: those from the network's map to the photo's own size.
    """

    photos: Shaped[Array, "b H W 3"] | Shaped[np.ndarray, "b H W 3"]
    rows: AxisWeights
    columns: AxisWeights
    back_rows: AxisWeights
    back_columns: AxisWeights


def on_canvas(
    photo: Shaped[np.ndarray, "..."],  # (H, W, 3); other shapes get a sentence
    config: ModelConfig,
    size: int | None = None,
    canvas: tuple[int, int] | None = None,
) -> Canvases:
    """Pad a photo to a canvas for `predict_canvases`, on the host.

    Args:
        photo: RGB (not cv2's BGR: `photo[..., ::-1]` turns that around), uint8 in
            [0, 255] or floating in [0, 1].
        config: the model.
        size: short side in pixels at which the network sees the photo;
            `config.image_size` by default.
        canvas: its rows and columns, at least the photo's. By default the next of 256,
            384, 512, 768, 1024, 1536, 2048, ... for each side.

    Returns:
        A batch of one, as NumPy arrays: the photo and some kilobytes of interpolation
        coefficients.

    Raises:
        ValueError: another shape than (H, W, 3), a canvas smaller than the photo, or
            a model or a photo that `processing_size` or `jax_depth.predict` refuses.
    """
    if photo.ndim != 3 or photo.shape[-1] != 3:
        raise ValueError(
            f"a photo must have shape (height, width, 3), {RGB}, got {photo.shape}"
        )
    height, width = photo.shape[:2]
    network = network_size(height, width, config, size)
    sides = canvas or (_side(height), _side(width))
    if sides[0] < height or sides[1] < width:
        raise ValueError(
            f"a photo of {width} x {height} pixels does not fit a canvas of "
            f"{sides[1]} x {sides[0]}; leave `canvas` out or pass a larger one"
        )
    laid = np.zeros((1, *sides, 3), photo.dtype)
    laid[0, :height, :width] = photo
    into = [
        _weights(way_in(config, n, m), n, m, m)
        for n, m in zip((height, width), network, strict=True)
    ]
    back = [
        _weights(way_back(config, m, n), m, n, side)
        for n, m, side in zip((height, width), network, sides, strict=True)
    ]
    return Canvases(laid, *into, *back)


def predict_canvases(params: Params, canvases: Canvases, config: ModelConfig) -> Output:
    """Predict depth of photos on canvases, as `jax_depth.predict` does for each.

    Pure, differentiable in the photos and shardable over the batch, with
    `jax.jit(predict_canvases, static_argnums=2)`.

    Args:
        params: plain nested dict, on the device.
        canvases: of one size, see `on_canvas`.
        config: the model that the photos were laid out for.

    Returns:
        `Output` with maps of the canvases' size, (b, H, W) float32; a photo's own is
        `depth[i, :height, :width]`, and beyond it is 0. They differ from those of
        `jax_depth.predict` by float32 rounding only.
    """
    height, width = canvases.photos.shape[1:3]
    rows, columns = (axis.first.shape[1] for axis in (canvases.rows, canvases.columns))
    pixels = pixels_by(
        jnp.asarray(canvases.photos),
        config,
        matrix_of(canvases.rows, height, rows),
        matrix_of(canvases.columns, width, columns),
    )
    back_rows = matrix_of(canvases.back_rows, rows, height)
    back_columns = matrix_of(canvases.back_columns, columns, width)
    output = apply(params, pixels, config)
    return each_map(output, lambda x: maps_by(x, back_rows, back_columns))


def _side(pixels: int) -> int:
    """Return the next power of two, or half as much again as one."""
    power = 256
    while power < pixels:
        power *= 2
    half = power // 4 * 3
    return half if half >= max(pixels, 256) else power


def _weights(
    matrix: np.ndarray | None, inputs: int, outputs: int, rows: int
) -> AxisWeights:
    """Return a resize's weights with the batch in front, zero behind its outputs."""
    if matrix is None:
        matrix = np.eye(outputs, inputs, dtype=np.float32)
    made = axis_weights(matrix, _WEIGHTS)
    return AxisWeights(
        *(
            np.pad(x, [(0, rows - outputs)] + [(0, 0)] * (x.ndim - 1))[None]
            for x in made
        )
    )
