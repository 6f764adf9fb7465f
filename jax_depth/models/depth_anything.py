"""The network of single pictures, and the pure functions that run any network.

Which network a config means is in `architectures.py`.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._forked import check_process
from jax_depth._typing import Array, Float, Float32, Params
from jax_depth.config import ModelConfig
from jax_depth.models import architectures
from jax_depth.models.arguments import (
    check_config,
    check_params,
    check_pixels,
    fitting,
)
from jax_depth.models.dpt import DPTHead
from jax_depth.models.output import Output
from jax_depth.models.reference_view import Reference, check_reference

_REFERENCE: Reference = "saddle_balanced"


class DepthAnything(nn.Module):
    """Encoder and head as one Linen module, for `flax.nnx.bridge.ToNNX` and friends.

    The functions below are the usual way in; they apply this module.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, pixels: Float[Array, "b h w 3"]) -> Float32[Array, "b h w"]:
        """Return depth; see `forward`."""
        output, _ = self.run(pixels)
        assert output is not None, "a bare encoder predicts no depth"
        return output.depth

    @nn.compact
    def run(
        self, pixels: Float[Array, "b h w 3"]
    ) -> tuple[Output | None, dict[str, Array]]:
        """Return the output (None without a head) and all stages."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        maps, named = architectures.encoder(config, dtype, name="encoder")(pixels)
        named |= {f"tap_{i}": x for i, x in enumerate(maps)}
        if config.head is None:
            return None, named
        size = pixels.shape[1], pixels.shape[2]
        raw, stages = DPTHead(config.head, dtype, name="head")(maps, size)
        return Output(activate(raw, config)), named | stages | {"raw": raw}


def apply(
    params: Params,
    pixels: Float[Array, "b *v h w 3"],
    config: ModelConfig,
    *,
    prompt: Float[Array, "b h2 w2"] | None = None,
    extrinsics: Float[Array, "b v 4 4"] | None = None,
    intrinsics: Float[Array, "b v 3 3"] | None = None,
    reference: Reference = _REFERENCE,
) -> Output:
    """Run a network. Pure; `config` is hashable, so jit with it static.

    Args:
        params: plain nested dict as given by `init`, `load_params` or
            `jax_depth_convert.from_torch`.
        pixels: normalised RGB, see `preprocess`: (b, h, w, 3) for models of single
            pictures, (b, v, h, w, 3) for models of several views, (b, t, h, w, 3) for
            models of clips; h and w multiples of the patch size (14 for Depth
            Anything).
        config: the model.
        prompt: for Prompt Depth Anything, coarse depth in metres, of any size.
        extrinsics: for models of several views, known cameras: world to camera.
        intrinsics: theirs, in pixels of `pixels` counted from the corner.
        reference: which view the cameras of models of several views begin with:
            "first", "middle", or chosen by the network.

    Returns:
        An `Output` at the size of `pixels`, float32.

    Raises:
        TypeError: an argument that is something else altogether.
        ValueError: pixels of another rank, of whole numbers, or of a size that is not
            a multiple of the patch size, parameters of another model, an argument that
            this model does not take, one that it needs and does not get, or a model
            without a head.
    """
    conditions = {
        "prompt": prompt,
        "extrinsics": extrinsics,
        "intrinsics": intrinsics,
        "reference": reference,
    }
    return _run(params, pixels, config, conditions, head=True)[0]


def apply_to_pictures(
    params: Params, pixels: Float[Array, "b h w 3"], config: ModelConfig
) -> Output:
    """Run a network on independent pictures; models of several views see one each.

    Args:
        params, config: as in `apply`.
        pixels: normalised RGB.

    Returns:
        Depth, and confidence and sky where the model has them, each (b, h, w).
    """
    if architectures.network_row(config).axis is None:
        return apply(params, pixels, config)
    output = apply(params, pixels[:, None], config)
    sky = None if output.sky is None else output.sky[:, 0]
    confidence = None if output.confidence is None else output.confidence[:, 0]
    return Output(output.depth[:, 0], confidence=confidence, sky=sky)


def forward(
    params: Params, pixels: Float[Array, "b *v h w 3"], config: ModelConfig
) -> Float32[Array, "b *v h w"]:
    """Predict depth: `apply(params, pixels, config).depth`.

    Args:
        params, pixels, config: as in `apply`.

    Returns:
        One map per picture at the size of `pixels`, float32. By `config.kind`:
        "inverse_depth", affine-invariant, >= 0, unitless, larger is nearer;
        "metric_depth", metres, in [0, max_depth] where the model has one; "depth",
        unitless, larger is farther.

    Raises:
        TypeError, ValueError: as `apply`.

    Source: Yang et al. 2024, arXiv:2401.10891 and arXiv:2406.09414; upstream
    `depth_anything_v2/dpt.py` and, for metres, `metric_depth/depth_anything_v2/dpt.py`.
    """
    return apply(params, pixels, config).depth


def raw_output(
    params: Params, pixels: Float[Array, "b *v h w 3"], config: ModelConfig
) -> Float32[Array, "b *v h w"]:
    """Return `forward` before its last activation, for losses.

    A relative loss on this never meets the dead side of the final ReLU.
    """
    return _run(params, pixels, config, {}, head=True)[1]["raw"]


def features(
    params: Params,
    pixels: Float[Array, "b *v h w 3"],
    config: ModelConfig,
    **conditions: Any,
) -> dict[str, Array]:
    """Return every named intermediate of the network.

    Jit it with the names you use picked inside: what is not returned is not
    computed.

    Args:
        params, pixels, config, conditions: as in `apply`; the model may lack a head.

    Returns:
        From a DINOv2 encoder "embedding" and "block_0", "block_1", ... (b, n, d),
        tokens in the order cls, registers, patches; "tokens" (b, n, d), the last
        block after the final LayerNorm, and its parts "cls" (b, d), "registers"
        (b, r, d), "patches" (b, ph, pw, d); "tap_0", ... (b, ph, pw, d). From a
        head "level_1" .. "level_4", "path_4" .. "path_1" (b, h', w', features), then
        "output_1" (b, h', w', features / 2), "output_2" (b, h, w, hidden) and "raw"
        (b, h, w), the map before its last activation.
    """
    return _run(params, pixels, config, conditions)[1]


def activate(
    raw: Float32[Array, "*b h w"], config: ModelConfig
) -> Float32[Array, "*b h w"]:
    """Apply the last activation of a model's head."""
    assert config.head is not None
    if config.head.activation == "sigmoid":
        depth = jax.nn.sigmoid(raw)
        return depth if config.max_depth is None else depth * config.max_depth
    if config.head.activation == "exp":
        return jnp.exp(raw)
    return jax.nn.relu(raw)


def param_shapes(config: ModelConfig) -> dict:
    """Return the parameter tree as `jax.ShapeDtypeStruct` leaves; allocates nothing."""
    check_config(config)
    side = 2 * config.encoder.patch_size
    row = architectures.network_row(config)
    axis = () if row.axis is None else (2,)
    shapes = {
        "pixels": (1, *axis, side, side, 3),
        "prompt": (1, side, side),
        "extrinsics": (1, *axis, 4, 4),
        "intrinsics": (1, *axis, 3, 3),
    }
    examples = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, shape in shapes.items()
        if name == "pixels" or name in row.takes
    }
    # Shapes depend on no dtype, and a bfloat16 trace asks what this CPU is fast at.
    plain = dataclasses.replace(config, dtype="float32")
    init = functools.partial(architectures.network(plain).init, method="run")
    shapes = jax.eval_shape(init, jax.random.key(0), **examples)["params"]
    if config.metric is not None:
        shapes = {**shapes, "metric": param_shapes(config.metric)}
    return shapes


def check_size(shape: tuple[int, ...], config: ModelConfig) -> tuple[int, int]:
    """Return (h, w) of a batch of pixels or say why it cannot be processed."""
    patch = config.encoder.patch_size
    axis = architectures.network_row(config).axis
    wanted = "(batch, height, width, 3)"
    remedy = "jax_depth.preprocess makes them from a picture, RGB"
    if axis is not None:
        wanted = f"(batch, {axis}, height, width, 3)"
        remedy += f", and one picture each is pixels[:, None], its only {axis[:-1]}"
    elif len(shape) == 5:
        remedy += (
            "; this model sees single pictures, so give views or frames one by one: "
            "pixels.reshape(-1, *pixels.shape[2:])"
        )
    if len(shape) != 4 + (axis is not None) or shape[-1] != 3:
        raise ValueError(
            f"pixels of model {config.name!r} must have shape {wanted}, got {shape}; "
            f"{remedy}"
        )
    h, w = shape[-3:-1]
    if h % patch or w % patch or not h or not w:
        raise ValueError(
            f"pixels of {h}x{w} do not fit model {config.name!r}: both sides must be "
            f"multiples of {patch}; jax_depth.preprocess sizes a picture so"
        )
    return h, w


def _run(
    params: Params,
    pixels: Array,
    config: ModelConfig,
    conditions: dict[str, Any],
    head: bool = False,
) -> Any:
    """Return (`Output` or None, named intermediates); `head`: whether it needs one."""
    check_process()
    check_config(config)
    check_params(params)
    check_pixels(pixels)
    if head and config.head is None:
        raise ValueError(
            f"model {config.name!r} is a bare encoder and predicts no depth; use "
            "jax_depth.features"
        )
    check_size(pixels.shape, config)
    conditions = _understood(conditions, config)
    module = architectures.network(config)
    with fitting(config):
        return module.apply({"params": params}, pixels, method="run", **conditions)


def _understood(conditions: dict[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Return the arguments for this network; refuse what it would not look at."""
    reference = conditions.get("reference", _REFERENCE)
    check_reference(reference)
    takes = architectures.network_row(config).takes
    given = {
        name: value
        for name, value in conditions.items()
        if value is not None and not (name == "reference" and value == _REFERENCE)
    }
    strange = [name for name in given if name not in takes]
    if strange:
        raise ValueError(
            f"model {config.name!r} takes {' and '.join(takes) or 'nothing'} beside "
            f"pixels; leave out {' and '.join(strange)}"
        )
    if "prompt" in takes and "prompt" not in given:
        raise ValueError(
            f"model {config.name!r} needs a prompt: coarse depth in metres, shape "
            "(batch, rows, columns); without one use a model that takes pictures alone"
        )
    return given
