"""A model as StableHLO: one program for every batch, size and platform.

The file is a safetensors file. Its tensor "program" (uint8) is what `jax.export`
serialised, versioned by StableHLO's compatibility rules; the other tensors are the
weights, so both can be read without a copy and the weights can be left out. Its
metadata say what goes in and what comes out. `jax`, `flatbuffers`, `safetensors` and
NumPy load and run it; nothing of this package and no Flax is needed:

    with safe_open("tiny.stablehlo", "numpy") as file:
        program = jax.export.deserialize(file.get_tensor("program").tobytes())
        weights = {k: file.get_tensor(k) for k in file.keys() if k != "program"}
    depth = program.call(weights, pixels)
"""

import dataclasses
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jax_depth._typing import Params
from jax_depth.checkpoint import flatten, unflatten
from jax_depth.config import ModelConfig
from jax_depth.export.contract import contract
from jax_depth.formats.atomic import atomic
from jax_depth.formats.safetensors import write_safetensors
from jax_depth.models import architectures, products
from jax_depth.models.depth_anything import apply, apply_to_pictures

SUFFIX = ".stablehlo"
PROGRAM = "program"
PLATFORMS = ("cpu", "cuda", "tpu")


def export_program(
    params: Params, config: ModelConfig, views: int | None = None
) -> export.Exported:
    """Return depth of single pictures for any batch and size on all platforms.

    Models of several views see one view each, unless a number of `views` is given: then
    the program takes one place, float32 (1, views, h, w, 3), of any size, and returns a
    dict of what `jax_depth.apply` gives: "depth", "confidence", "extrinsics",
    "intrinsics", "rays", "ray_confidence" and "reference".

    Its arguments are a flat dict of float32 weights, named as in a native model
    directory ("encoder/norm/scale"), and pixels, float32 (b, h, w, 3) with h and w
    multiples of the patch size. Attention takes one pass, whose memory grows with the
    square of the number of patches: blocks have to be counted while tracing.

    Args:
        params: nested dict; only names, shapes and dtypes matter.
        config: the model.
        views: of one place, of a model of several views.

    Raises:
        ValueError: a bare encoder; or `views` of a model that has none, or whose metres
            a second network knows.
    """
    if views is not None:
        check_views(config, views)
    patch = config.encoder.patch_size
    b, h, w = export.symbolic_shape("b, h, w")
    scene = (b,) if views is None else (1, views)
    pixels = jax.ShapeDtypeStruct((*scene, patch * h, patch * w, 3), jnp.float32)
    leaves = {
        name: jax.ShapeDtypeStruct(leaf.shape, jnp.float32)
        for name, leaf in flatten(params).items()
    }

    @jax.jit
    def depth(weights, pixels):
        if views is None:
            return apply_to_pictures(unflatten(weights), pixels, config).depth
        output = apply(unflatten(weights), pixels, config)
        names = [field.name for field in dataclasses.fields(output)]
        found = {name: getattr(output, name) for name in names}
        return {name: x for name, x in found.items() if x is not None}

    # For any machine: nothing that was measured on this one.
    with products.using(products.usual()):
        return export.export(depth, platforms=PLATFORMS)(leaves, pixels)


def write_stablehlo(
    params: Params,
    config: ModelConfig,
    path: str | os.PathLike[str],
    weights: bool = True,
    views: int | None = None,
) -> None:
    """Write a model's program, and its weights unless told otherwise.

    Args:
        params: nested dict of arrays.
        config: the model, with the dtype to compute in.
        path: the file.
        weights: False leaves them out; a native model directory's `model.safetensors`
            holds them by the same names.
        views: see `export_program`.

    Raises:
        ValueError: the package flatbuffers is missing, or as `export_program`.
        OSError: the file cannot be written.
    """
    check_installed()
    program = export_program(params, config, views).serialize()
    tensors = {PROGRAM: np.frombuffer(program, np.uint8)}
    if weights:
        tensors |= {
            name: np.asarray(leaf, np.float32) for name, leaf in flatten(params).items()
        }
    call = (
        "jax.export.deserialize(program).call(weights, pixels); weights: dict of the "
        "other tensors by name" + ("" if weights else ", which are not in this file")
    )
    metadata = {
        "format": "jax_depth StableHLO 1",
        "call": call,
        **contract(config, views=views),
    }
    with atomic(Path(path)) as temporary:
        write_safetensors(temporary, tensors, None, metadata)


def check_views(config: ModelConfig, views: int) -> None:
    """Raise ValueError if a program of that many views cannot be made of a model."""
    if architectures.network_row(config).axis != "views":
        raise ValueError(
            f"model {config.name!r} sees single pictures; a program of several views "
            "needs an any-view model, such as depth-anything-3-small"
        )
    if config.metric is not None:
        raise ValueError(
            f"model {config.name!r} brings its views to metres by a second network and "
            "a fit, which no exported file holds; use jax_depth.load(...).views"
        )
    if views < 1:
        raise ValueError(f"views is {views}; give 1 or more")


def check_installed() -> None:
    """Raise ValueError if the package that `jax.export` needs is missing."""
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        raise ValueError(
            "exporting needs the package flatbuffers: pip install flatbuffers"
        ) from None
