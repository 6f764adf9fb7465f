"""Predict maps from photos in one traced program: resize, normalise, run, resize back.

The host path, `preprocess` and `Estimator`, reads any picture and reproduces the
published code exactly; this one takes a batch of one size that is on the device
already, and is pure: it can be jitted, differentiated and sharded.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jax_depth._forked import check_process
from jax_depth._typing import Array, Float32, Params
from jax_depth.config import ModelConfig
from jax_depth.formats.image import RGB
from jax_depth.inference.axis_weights import axis_weights, matrix_of
from jax_depth.inference.preprocess import processing_size
from jax_depth.inference.resample import cubic_cv2, matrix
from jax_depth.models.arguments import check_array, check_config, check_params
from jax_depth.models.depth_anything import apply
from jax_depth.models.output import Output
from jax_depth.models.resize import (
    antialiased_weights,
    bicubic_weights,
    bilinear_weights,
    half_pixel_weights,
    resize_bicubic,
    resize_bilinear,
    resize_half_pixel,
)

# What a program can resize by; the other ways in are the host's alone.
PROTOCOLS = ("original", "transformers")
_RESIZE = {
    "aligned": resize_bilinear,
    "half_pixel": resize_half_pixel,
    "bicubic": resize_bicubic,
}


def predict(
    params: Params,
    photos: Shaped[Array, "..."],  # (b, H, W, 3); other shapes get a sentence
    config: ModelConfig,
    size: int | None = None,
) -> Output:
    """Predict depth of a batch of photos of one size, all of it on the device.

    Pure, differentiable and shardable over the batch; `config` and `size` are static:
    `jax.jit(jax_depth.predict, static_argnames=("config", "size"))`. Where the model's
    protocol rounds pixels to 8 bits (resample "transformers"), gradients ignore the
    rounding (straight-through).

    Args:
        params: plain nested dict, on the device.
        photos: RGB (not cv2's BGR: `photos[..., ::-1]` turns that around), uint8 in
            [0, 255] or floating in [0, 1].
        config: the model; its `resample`, `restore`, `mean` and `std` determine the
            preprocessing and the resize back.
        size: short side in pixels at which the network sees a photo;
            `config.image_size` by default.

    Returns:
        `Output` with every map at the photos' own size, (b, H, W) float32, by
        `config.kind` as `forward` says. For models that need a focal length the output
        is not converted to metres: use `Estimator`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: photos of another shape or type, or a model whose pictures are
            resized by another protocol than "original" or "transformers".
    """
    check_process()
    check_config(config)
    check_params(params)
    check_array(photos, "photos", f"(batch, height, width, 3), {RGB}")
    if photos.ndim != 4 or photos.shape[-1] != 3:
        raise ValueError(
            f"photos must have shape (batch, height, width, 3), {RGB}, got "
            f"{photos.shape}; one photo is a batch of one: photo[None]"
        )
    height, width = photos.shape[1:3]
    network = network_size(height, width, config, size)
    sides = zip((height, width), network, strict=True)
    ways = [_in_program(way_in(config, n_in, n_out)) for n_in, n_out in sides]
    output = apply(params, pixels_by(photos, config, *ways), config)
    if config.restore == "aligned":  # CPUs and GPUs gather, which is faster
        return each_map(output, lambda x: to_photos(x, config, (height, width)))
    sides = zip(network, (height, width), strict=True)
    ways = [_in_program(way_back(config, n_in, n_out)) for n_in, n_out in sides]
    return each_map(output, lambda x: maps_by(x, *ways))


def network_size(
    height: int, width: int, config: ModelConfig, size: int | None = None
) -> tuple[int, int]:
    """Return rows and columns at which a network sees a photo.

    Args:
        height, width: of the photo.
        config: the model.
        size: short side in pixels; `config.image_size` by default.

    Raises:
        ValueError: a model whose pictures are resized on the host alone, or from
            `processing_size`.
    """
    if config.resample not in PROTOCOLS:
        raise ValueError(
            f"model {config.name!r} resizes pictures by {config.resample!r}, which is "
            "only implemented on the host; use jax_depth.Estimator, or "
            "jax_depth.preprocess and jax_depth.apply"
        )
    short = config.image_size if size is None else size
    patch = config.encoder.patch_size
    return processing_size(height, width, short, patch, config.resample)


def to_pixels(
    photos: Shaped[Array, "b H W 3"],
    config: ModelConfig,
    network: tuple[int, int],
) -> Float32[Array, "b h w 3"]:
    """Resize and normalise photos as `preprocess` does, by matrices in the program.

    Args:
        photos: RGB, uint8 in [0, 255] or floating in [0, 1].
        config: the model.
        network: (rows, columns) that the network sees, as `processing_size` says.

    Raises:
        ValueError: photos of another type.
    """
    sides = zip(photos.shape[1:3], network, strict=True)
    return pixels_by(photos, config, *(way_in(config, *pair) for pair in sides))


def way_in(config: ModelConfig, inputs: int, outputs: int) -> Any:
    """Return the matrix (outputs, inputs) of an axis of a photo; None changes nothing.

    Args:
        config: the model, of one of `PROTOCOLS`.
        inputs, outputs: pixels of the photo, and what the network sees.
    """
    if inputs == outputs:
        return None
    if config.resample == "original":
        return matrix(cubic_cv2, inputs, outputs).astype(np.float32)
    return antialiased_weights(inputs, outputs)


def way_back(config: ModelConfig, inputs: int, outputs: int) -> Any:
    """Return the matrix (outputs, inputs) of an axis of a map; None changes nothing."""
    if inputs == outputs:
        return None
    if config.restore == "aligned":
        return bilinear_weights(inputs, outputs)
    if config.restore == "half_pixel":
        return half_pixel_weights(inputs, outputs)
    return bicubic_weights(inputs, outputs, 0.0)


def _in_program(made: np.ndarray | None) -> Any:
    """Return a matrix that the program makes, since its entries would be most of it."""
    if made is None:
        return None
    return matrix_of(axis_weights(made), made.shape[1], made.shape[0])


def pixels_by(
    photos: Shaped[Array, "b H W 3"], config: ModelConfig, rows: Any, columns: Any
) -> Float32[Array, "b h w 3"]:
    """Resize and normalise photos as `preprocess` does.

    Args:
        photos: RGB, uint8 in [0, 255] or floating in [0, 1].
        config: the model.
        rows, columns: matrices (h, H) and (w, W) of `way_in`; each photo its own with
            the batch in front.

    Raises:
        ValueError: photos of another type.
    """
    if photos.dtype == jnp.uint8:
        values = photos.astype(jnp.float32)
    elif jnp.issubdtype(photos.dtype, jnp.floating):
        values = photos.astype(jnp.float32) * 255
    else:
        raise ValueError(
            f"photos of dtype {photos.dtype} are not supported; use uint8 in [0, 255] "
            "or float32 in [0, 1]"
        )
    if config.resample == "original":
        values = _along(2, columns, _along(1, rows, values))
    else:
        if photos.dtype != jnp.uint8:  # cut, as the processor does
            values = _straight_through(values, jnp.floor)
        # Pillow rounds to uint8 after each pass, columns first.
        for axis, weights in ((2, columns), (1, rows)):
            values = _along(axis, weights, values)
            values = _straight_through(values, _grey_level)
    mean, std = np.array([config.mean, config.std], np.float32).reshape(2, 1, 1, 1, 3)
    return (values / 255 - mean) / std


def to_photos(values: Any, config: ModelConfig, size: tuple[int, ...]) -> Any:
    """Bring maps (b, h, w) to the size of their photos; None stays None."""
    if values is None:
        return None
    rows, columns = size
    return _RESIZE[config.restore](values[..., None], (rows, columns))[..., 0]


def maps_by(values: Any, rows: Any, columns: Any) -> Any:
    """Do as `to_photos` by matrices of `way_back`; with the batch in front, or not."""
    if values is None:
        return None
    return _along(2, columns, _along(1, rows, values[..., None]))[..., 0]


def each_map(output: Output, function: Callable[[Any], Any]) -> Output:
    """Return an output with what a function makes of each of its maps."""
    changes: Any = {
        name: function(getattr(output, name)) for name in ("depth", "confidence", "sky")
    }
    return dataclasses.replace(output, **changes)


def _straight_through(x: Array, rounded: Callable[[Array], Array]) -> Array:
    return x + jax.lax.stop_gradient(rounded(x) - x)


def _grey_level(x: Array) -> Array:
    return jnp.clip(jnp.floor(x + 0.5), 0, 255)


def _along(axis: int, weights: Any, x: Array) -> Array:
    """Multiply an axis of (b, h, w, c) by one matrix, or by each picture's own."""
    if weights is None:
        return x
    own = "b" if weights.ndim == 3 else ""
    sums = f"{own}oh,bhwc->bowc" if axis == 1 else f"{own}ow,bhwc->bhoc"
    return jnp.einsum(sums, weights, x, precision=jax.lax.Precision.HIGHEST)
