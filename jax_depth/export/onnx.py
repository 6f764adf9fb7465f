"""A model as ONNX: one picture size, any batch, for every runtime that reads ONNX.

jax2onnx translates what JAX traced. Sizes are fixed because the matrices of the
network's resizes depend on them.
"""

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth._typing import Array, Params, UInt8
from jax_depth.config import ModelConfig, with_encoder
from jax_depth.export.contract import contract
from jax_depth.export.inline import for_other_runtimes
from jax_depth.formats.atomic import atomic
from jax_depth.inference.on_device import PROTOCOLS, to_photos, to_pixels
from jax_depth.inference.preprocess import processing_size
from jax_depth.models.depth_anything import apply_to_pictures

SUFFIX = ".onnx"
# Protocol buffers end here.
_MAX_BYTES = 2**31 - 1


def write_onnx(
    params: Params,
    config: ModelConfig,
    path: str | os.PathLike[str],
    size: tuple[int, int],
    preprocessing: bool = False,
) -> None:
    """Write a model for pictures of one size.

    Args:
        params: nested dict of float32 arrays; they go into the file.
        config: the model, computing in float32.
        path: the file.
        size: height and width. Without preprocessing of the network's input "pixels",
            float32 (batch, h, w, 3), normalised; with it of the photo.
        preprocessing: take "photo", uint8 RGB (batch, h, w, 3) of any size, resize and
            normalise it as `preprocess` does, and bring the depth back to its size.
            Not for Depth Anything 3, whose resize by area has no operator.

    Beside "depth" the file has an output "confidence" or "sky" where the model has one.

    Raises:
        ValueError: jax2onnx is missing, the model is too large for one file or does not
            compute in float32, or it cannot take that size or `preprocessing`.
        OSError: the file cannot be written.
    """
    convert = _jax2onnx()
    if config.dtype != "float32":
        raise ValueError(f"ONNX files are written in float32, not {config.dtype}")
    total = sum(4 * np.size(leaf) for leaf in jax.tree.leaves(params))
    if total > _MAX_BYTES:
        raise ValueError(
            f"model {config.name!r} has {total / 1e9:.1f} GB of weights, more than an "
            "ONNX file holds; export it as StableHLO"
        )
    config = with_plain_attention(config)
    network = size
    if preprocessing:
        if config.resample not in PROTOCOLS:
            raise ValueError(
                f"model {config.name!r} resizes pictures by {config.resample!r}, which "
                "cannot be exported to ONNX; leave out the preprocessing (--preprocess)"
            )
        network = processing_size(
            *size, config.image_size, config.encoder.patch_size, config.resample
        )
    outputs = _outputs(params, config, network)
    name, dtype = ("photo", jnp.uint8) if preprocessing else ("pixels", jnp.float32)
    function = functools.partial(
        _photo_to_maps if preprocessing else _pixels_to_maps,
        params=params,
        config=config,
        outputs=outputs,
    )
    if preprocessing:
        function = functools.partial(function, network=network)
    shape: Any = ("batch", *size, 3)  # a name is a dimension that may vary
    with _quiet(), _jax_left_alone():
        model: Any = convert(
            for_other_runtimes(function),
            [jax.ShapeDtypeStruct(shape, dtype)],
            model_name=config.name,
            input_names=[name],
            output_names=list(outputs),
        )
    for key, text in contract(config, preprocessing, outputs).items():
        model.metadata_props.add(key=key, value=text)
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(model.SerializeToString())


def check_installed() -> None:
    """Raise ValueError if the package that translates to ONNX is missing."""
    _jax2onnx()


def with_plain_attention(config: ModelConfig) -> ModelConfig:
    """Return the model with attention in one pass, which runtimes fuse."""
    return with_encoder(config, attention="one_pass")


def _outputs(
    params: Params, config: ModelConfig, size: tuple[int, int]
) -> tuple[str, ...]:
    """Return the names of the maps a model gives of pictures, depth first."""
    pixels = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    run = functools.partial(apply_to_pictures, config=config)
    output = jax.eval_shape(run, params, pixels)
    names = [field.name for field in dataclasses.fields(output)]
    return tuple(name for name in names if getattr(output, name) is not None)


def _pixels_to_maps(
    pixels, *, params: Params, config: ModelConfig, outputs: Sequence[str]
):
    output = apply_to_pictures(params, pixels, config)
    return tuple(getattr(output, name) for name in outputs)


def _photo_to_maps(
    photo: UInt8[Array, "b h w 3"],
    *,
    params: Params,
    config: ModelConfig,
    outputs: Sequence[str],
    network: tuple[int, int],
):
    pixels = to_pixels(photo, config, network)
    maps = _pixels_to_maps(pixels, params=params, config=config, outputs=outputs)
    return tuple(to_photos(values, config, photo.shape[1:3]) for values in maps)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnx_ir, which warns of every value whose type it leaves out."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _jax_left_alone() -> Iterator[None]:
    """Undo what jax2onnx 0.17 does to jax as it loads its plugins.

    It puts a function that takes no positional axis in the place of `jax.numpy.cumsum`,
    for the whole process (`plugins/jax/numpy/cumsum.py`).
    """
    cumsum = jnp.cumsum
    try:
        yield
    finally:
        setattr(jnp, "cumsum", cumsum)  # noqa: B010


def _jax2onnx() -> Any:
    try:
        from jax2onnx import to_onnx
    except ImportError:
        raise ValueError(
            "exporting to ONNX needs the package jax2onnx: pip install "
            "'jax_depth[export]'"
        ) from None
    return to_onnx
