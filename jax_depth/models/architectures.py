"""The one table of architectures: which module a config means, and its specifics.

Nothing else in the library asks for the class of an encoder or a head. An
architecture is a dataclass in `config.py`, a row here, the module the row names and,
where its weights are published, a table of their keys in `jax_depth_convert`.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from jax_depth.config import (
    AnyViewConfig,
    DualHeadConfig,
    EncoderConfig,
    HeadConfig,
    HybridConfig,
    ModelConfig,
    PromptHeadConfig,
    SkyHeadConfig,
    VideoHeadConfig,
)

Axis = Literal["views", "frames"]


@dataclasses.dataclass(frozen=True)
class EncoderRow:
    """One class of encoders.

    Attributes:
        module: "file:class" below `jax_depth.models`, a Linen module of (config,
            dtype) that takes pixels and returns maps and named intermediates.
        float32: layers whose products stay float32 whatever `ModelConfig.dtype`: names
            of parts of the parameters' paths. What lies under them is never rounded.
        keys: which published files hold a bare one, a table of `jax_depth_convert`;
            None where there are none.
    """

    module: str
    float32: tuple[str, ...] = ()
    keys: str | None = None


@dataclasses.dataclass(frozen=True)
class NetworkRow:
    """One class of heads and the whole network that ends in it.

    Attributes:
        module: "file:class" below `jax_depth.models`, a Linen module of (config,) with
            a method `run(pixels, **conditions)` -> (`Output`, named intermediates).
        axis: what the second axis of its pixels counts; None for single pictures.
        takes: arguments of `jax_depth.apply` beyond pixels that it understands.
        says: what it predicts for one picture beside depth, as `Output` calls it.
        float32, keys: as in `EncoderRow`.
    """

    module: str
    says: tuple[str, ...] = ()
    axis: Axis | None = None
    takes: tuple[str, ...] = ()
    float32: tuple[str, ...] = ("output_conv3",)
    keys: str | None = None


ENCODERS: Mapping[type, EncoderRow] = MappingProxyType(
    {
        EncoderConfig: EncoderRow("vit:VisionTransformer", keys="dinov2"),
        HybridConfig: EncoderRow("hybrid:HybridEncoder", float32=("depthwise",)),
        AnyViewConfig: EncoderRow("any_view:AnyViewTransformer", keys="any_view"),
    }
)

NETWORKS: Mapping[type, NetworkRow] = MappingProxyType(
    {
        type(None): NetworkRow("depth_anything:DepthAnything"),
        HeadConfig: NetworkRow("depth_anything:DepthAnything", keys="depth_anything"),
        PromptHeadConfig: NetworkRow(
            "prompted:PromptDepthAnything",
            takes=("prompt",),
            keys="prompt_depth_anything",
        ),
        VideoHeadConfig: NetworkRow(
            "temporal:VideoDepthAnything", axis="frames", keys="video_depth_anything"
        ),
        SkyHeadConfig: NetworkRow(
            "sky_dpt:SkyDepthAnything",
            says=("sky",),
            float32=("output_conv3", "sky_output_conv3"),
            keys="depth_anything_3_mono",
        ),
        DualHeadConfig: NetworkRow(
            "depth_anything_3:AnyViewDepth",
            says=("confidence",),
            axis="views",
            takes=("extrinsics", "intrinsics", "reference"),
            float32=(
                "output_conv3",
                "level_3_output",
                "camera_decoder",
                "camera_encoder",
            ),
            keys="depth_anything_3",
        ),
    }
)


def encoder_row(config: ModelConfig) -> EncoderRow:
    """Return the row of a model's encoder."""
    return ENCODERS[type(config.encoder)]


def network_row(config: ModelConfig) -> NetworkRow:
    """Return the row of a model's head, which says what the whole network is."""
    return NETWORKS[type(config.head)]


def sees_views(config: ModelConfig) -> bool:
    """Whether a model sees several pictures of one place: Depth Anything 3."""
    return network_row(config).axis == "views"


def sees_clips(config: ModelConfig) -> bool:
    """Whether a model sees the frames of a clip together: Video Depth Anything."""
    return network_row(config).axis == "frames"


def network(config: ModelConfig) -> Any:
    """Return the whole network of a model as a Linen module without parameters."""
    return _load(network_row(config).module)(config)


def encoder(
    config: ModelConfig, dtype: Any, name: str | None = None, **options: Any
) -> Any:
    """Return the encoder of a model as a Linen module without parameters."""
    module = _load(encoder_row(config).module)
    return module(config.encoder, dtype, name=name, **options)


def published_keys(config: ModelConfig) -> str | None:
    """Return which table of `jax_depth_convert` a model's files follow, if any do."""
    if config.metric is not None:
        return "depth_anything_3_nested"
    if encoder_row(config).keys is None:
        return None
    return encoder_row(config).keys if config.head is None else network_row(config).keys


def stays_float32(path: tuple[str, ...], config: ModelConfig) -> bool:
    """Whether a model computes with a parameter in float32 whatever its dtype.

    Args:
        path: of the parameter in the tree.
    """
    if config.metric is not None and path[0] == "metric":
        return stays_float32(path[1:], config.metric)
    layers = (*encoder_row(config).float32, *network_row(config).float32)
    return any(layer in path for layer in layers)


def _load(module: str) -> Any:
    # When first used: a picture's network does not bring the others along.
    file, name = module.split(":")
    return getattr(importlib.import_module(f"jax_depth.models.{file}"), name)
