"""The whole network: encoder, head and the activation that gives depth its meaning."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32, Params
from jax_depth.config import HybridConfig, ModelConfig
from jax_depth.models.dpt import DPTHead
from jax_depth.models.vit import VisionTransformer


class DepthAnything(nn.Module):
    """Encoder and head as one Linen module, for `flax.nnx.bridge.ToNNX` and friends.

    The functions below are the usual way in; they apply this module.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, pixels: Float[Array, "b h w 3"]) -> Float32[Array, "b h w"]:
        """Return depth; see `forward`."""
        raw, _ = self.raw_and_named(pixels)
        assert raw is not None, "a bare encoder predicts no depth"
        return activate(raw, self.config)

    @nn.compact
    def raw_and_named(self, pixels: Float[Array, "b h w 3"]):
        """Return the map before its activation (None without a head) and all stages."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        size = check_size(pixels.shape, config)
        maps, named = _encoder(config)(config.encoder, dtype, name="encoder")(pixels)
        named |= {f"tap_{i}": x for i, x in enumerate(maps)}
        if config.head is None:
            return None, named
        head = DPTHead(config.head, dtype, name="head")
        raw, stages = head(maps, size)
        return raw, named | stages | {"raw": raw}


def forward(
    params: Params, pixels: Float[Array, "b h w 3"], config: ModelConfig
) -> Float32[Array, "b h w"]:
    """Predict depth. Pure; `config` is hashable, so jit with it static.

    Args:
        params: plain nested dict as given by `init`, `load_params` or
            `jax_depth_convert.from_torch`.
        pixels: normalised RGB, see `preprocess`; h and w multiples of the patch
            size (14 for Depth Anything).
        config: the model.

    Returns:
        One map per picture at the size of `pixels`, float32. By `config.kind`:
        "inverse_depth", affine-invariant, >= 0, unitless, larger is nearer;
        "metric_depth", metres in [0, max_depth].

    Raises:
        ValueError: a size that is not a multiple of the patch size, or a model
            without a head.

    Source: Yang et al. 2024, arXiv:2401.10891 and arXiv:2406.09414; upstream
    `depth_anything_v2/dpt.py` and, for metres, `metric_depth/depth_anything_v2/dpt.py`.
    """
    return activate(raw_output(params, pixels, config), config)


def raw_output(
    params: Params, pixels: Float[Array, "b h w 3"], config: ModelConfig
) -> Float32[Array, "b h w"]:
    """Return `forward` before its last activation, for losses.

    A relative loss on this never meets the dead side of the final ReLU.
    """
    if config.head is None:
        raise ValueError(
            f"model {config.name!r} is a bare encoder and predicts no depth; use "
            "jax_depth.features"
        )
    raw, _ = _apply(params, pixels, config)
    return raw


def features(
    params: Params, pixels: Float[Array, "b h w 3"], config: ModelConfig
) -> dict[str, Array]:
    """Return every named intermediate of the network.

    Jit it with the names you use picked inside: what is not returned is not
    computed.

    Args:
        params, pixels, config: as in `forward`; the model may lack a head.

    Returns:
        From a DINOv2 encoder "embedding" and "block_0", "block_1", ... (b, n, d),
        tokens in the order cls, registers, patches; "tokens" (b, n, d), the last
        block after the final LayerNorm, and its parts "cls" (b, d), "registers"
        (b, r, d), "patches" (b, ph, pw, d); "tap_0", ... (b, ph, pw, d). From a
        head "level_1" .. "level_4", "path_4" .. "path_1" (b, h', w', features), then
        "output_1" (b, h', w', features / 2), "output_2" (b, h, w, hidden) and "raw"
        (b, h, w), the map before its last activation.
    """
    return _apply(params, pixels, config)[1]


def activate(
    raw: Float32[Array, "b h w"], config: ModelConfig
) -> Float32[Array, "b h w"]:
    """Apply a model's last activation: ReLU, or sigmoid times max_depth."""
    if config.kind == "metric_depth":
        assert config.max_depth is not None
        return jax.nn.sigmoid(raw) * config.max_depth
    return jax.nn.relu(raw)


def param_shapes(config: ModelConfig) -> dict:
    """Return the parameter tree as `jax.ShapeDtypeStruct` leaves; allocates nothing."""
    side = 2 * config.encoder.patch_size
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    module = DepthAnything(config)
    init = functools.partial(module.init, method="raw_and_named")
    return jax.eval_shape(init, jax.random.key(0), pixels)["params"]


def check_size(shape: tuple[int, ...], config: ModelConfig) -> tuple[int, int]:
    """Return (h, w) of a batch of pixels or say why it cannot be processed."""
    patch = config.encoder.patch_size
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"pixels must have shape (batch, height, width, 3), got {shape}; "
            "jax_depth.preprocess makes them from a picture"
        )
    _, h, w, _ = shape
    if h % patch or w % patch or not h or not w:
        raise ValueError(
            f"pixels of {h}x{w} do not fit model {config.name!r}: both sides must be "
            f"multiples of {patch}; jax_depth.preprocess sizes a picture so"
        )
    return h, w


def _apply(params: Params, pixels, config: ModelConfig) -> Any:
    module = DepthAnything(config)
    return module.apply({"params": params}, pixels, method="raw_and_named")


def _encoder(config: ModelConfig) -> type[nn.Module]:
    if isinstance(config.encoder, HybridConfig):
        # Imported here: only the bundled model needs it.
        from jax_depth.models.hybrid import HybridEncoder

        return HybridEncoder
    return VisionTransformer
