"""Photos to maps inside one traced program: resized, normalised, run, brought back.

The host's way, `preprocess` and `Estimator`, reads any picture and is exact to the
published code; this one takes a batch of one size that is on the device already, and is
pure: it can be jitted, differentiated and sharded.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from jax_depth._typing import Array, Float32, Params
from jax_depth.config import ModelConfig
from jax_depth.formats.image import RGB
from jax_depth.inference.preprocess import processing_size
from jax_depth.inference.resample import cubic_cv2, matrix
from jax_depth.models.depth_anything import apply
from jax_depth.models.output import Output
from jax_depth.models.resize import (
    antialiased_weights,
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
    protocol rounds pixels to 8 bits (resample "transformers"), gradients pass the
    rounding straight through.

    Args:
        params: plain nested dict, on the device.
        photos: RGB (not cv2's BGR: `photos[..., ::-1]` turns that around), uint8 in
            [0, 255] or floating in [0, 1].
        config: the model; its `resample`, `restore`, `mean` and `std` decide.
        size: short side in pixels at which the network sees a photo;
            `config.image_size` by default.

    Returns:
        `Output` with every map at the photos' own size, (b, H, W) float32, by
        `config.kind` as `forward` says. Metres of models that need a focal length are
        not multiplied out: use `Estimator`.

    Raises:
        ValueError: photos of another shape or type, or a model whose pictures are
            resized by another protocol than "original" or "transformers".
    """
    if photos.ndim != 4 or photos.shape[-1] != 3:
        raise ValueError(
            f"photos must have shape (batch, height, width, 3), {RGB}, got "
            f"{photos.shape}; one photo is a batch of one: photo[None]"
        )
    if config.resample not in PROTOCOLS:
        raise ValueError(
            f"model {config.name!r} resizes pictures by {config.resample!r}, which is "
            "done on the host alone: use jax_depth.Estimator, or jax_depth.preprocess "
            "and jax_depth.apply"
        )
    height, width = photos.shape[1:3]
    network = processing_size(
        height,
        width,
        config.image_size if size is None else size,
        config.encoder.patch_size,
        config.resample,
    )
    pixels = to_pixels(photos, config, network)
    output = apply(params, pixels, config)
    maps = {name: getattr(output, name) for name in ("depth", "confidence", "sky")}
    changes: Any = {
        name: to_photos(x, config, (height, width)) for name, x in maps.items()
    }
    return dataclasses.replace(output, **changes)


def to_pixels(
    photos: Shaped[Array, "b H W 3"],
    config: ModelConfig,
    network: tuple[int, int],
) -> Float32[Array, "b h w 3"]:
    """Resize and normalise photos as `preprocess` does.

    Args:
        photos: RGB, uint8 in [0, 255] or floating in [0, 1].
        config: the model.
        network: (rows, columns) that the network sees, as `processing_size` says.

    Raises:
        ValueError: photos of another type.
    """
    if photos.dtype == jnp.uint8:
        values = photos.astype(jnp.float32)
    elif jnp.issubdtype(photos.dtype, jnp.floating):
        values = photos.astype(jnp.float32) * 255
    else:
        raise ValueError(
            f"photos of type {photos.dtype} are not taken; use uint8 in [0, 255] or "
            "float32 in [0, 1]"
        )
    if config.resample == "original":
        values = _resized(values, _cubic_matrix, network, (1, 2))
    else:
        if photos.dtype != jnp.uint8:  # cut, as the processor does
            values = _straight_through(values, jnp.floor)
        # Pillow rounds to uint8 after each pass, columns first.
        for axis in (2, 1):
            values = _resized(values, _pillow_matrix, network, (axis,))
            values = _straight_through(values, _grey_level)
    mean, std = np.array([config.mean, config.std], np.float32).reshape(2, 1, 1, 1, 3)
    return (values / 255 - mean) / std


def to_photos(values: Any, config: ModelConfig, size: tuple[int, ...]) -> Any:
    """Bring maps (b, h, w) to the size of their photos; None stays None."""
    if values is None:
        return None
    rows, columns = size
    return _RESIZE[config.restore](values[..., None], (rows, columns))[..., 0]


def _straight_through(x: Array, rounded: Callable[[Array], Array]) -> Array:
    return x + jax.lax.stop_gradient(rounded(x) - x)


def _grey_level(x: Array) -> Array:
    return jnp.clip(jnp.floor(x + 0.5), 0, 255)


def _resized(x, weights_of, size: tuple[int, int], axes: tuple[int, ...]):
    for axis in axes:
        n_in, n_out = x.shape[axis], size[axis - 1]
        if n_in != n_out:
            sums = "oh,bhwc->bowc" if axis == 1 else "ow,bhwc->bhoc"
            weights = weights_of(n_in, n_out).astype(np.float32)
            x = jnp.einsum(sums, weights, x, precision=jax.lax.Precision.HIGHEST)
    return x


def _cubic_matrix(n_in: int, n_out: int) -> np.ndarray:
    return matrix(cubic_cv2, n_in, n_out)


def _pillow_matrix(n_in: int, n_out: int) -> np.ndarray:
    return antialiased_weights(n_in, n_out, 0.0)
