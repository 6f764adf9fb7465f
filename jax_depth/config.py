"""Frozen descriptions of a model: encoder, head, output. Plain data, no jax.

A `ModelConfig` is hashable, so it can be a static argument of `jax.jit`, and
`dataclasses.replace` is the way to change one. `to_json` and `from_json` are
what `config.json` beside a native checkpoint holds.
"""

import dataclasses
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

from jax_depth.config_checks import check_config, check_field, parsed

Kind = Literal["inverse_depth", "depth", "metric_depth", "features"]
Dtype = Literal["float32", "bfloat16"]
Resample = Literal[
    "original",
    "transformers",
    "shrink_area",
    "upper_bound_resize",
    "upper_bound_crop",
    "lower_bound_resize",
    "lower_bound_crop",
]
Restore = Literal["aligned", "half_pixel", "bicubic"]
Attention = Literal["auto", "one_pass", "blocked", "flash"]
Resize = Literal["up4", "up2", "keep", "down2"]
Activation = Literal["relu", "sigmoid", "exp"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """DINOv2 vision transformer (Oquab et al. 2023, arXiv:2304.07193).

    Attributes:
        width: token width d.
        depth: number of blocks.
        heads: attention heads; d / heads is 64 in every published size.
        taps: 0-based blocks whose output, after the final LayerNorm, feeds the
            head. Empty for a bare encoder.
        mlp: "gelu" (exact erf) or "swiglu" (the giant).
        mlp_hidden: width of the hidden layer; for "swiglu" of each half.
        patch_size: side of a patch in pixels.
        position_grid: side of the trained grid of position embeddings.
        position_offset: 0.1 in the original code of DINOv2 without registers
            and of Depth Anything V1 and V2; 0.0 in transformers today and in
            DINOv2 with registers.
        position_antialias: True only for DINOv2 with registers.
        registers: number of register tokens, 0 or 4.
        norm_epsilon: of the final LayerNorm; 1e-5 in Depth Anything 3.
        mask_token: whether checkpoints carry DINOv2's unused mask token.
        scan: run the blocks between two taps as one `lax.scan`: a shorter
            compilation, the same numbers.
        remat: recompute each block in the backward pass: less memory, the same
            numbers.
        attention: "one_pass" holds all n^2 logits of n tokens a head, "blocked" a
            million; the same numbers but for the order of sums. "auto" takes one
            pass up to 256 tokens on CPU (518 x 518 has 1370), up to 4096 elsewhere, in
            bfloat16 kernels of cuDNN or Pallas. "flash" is Pallas' on TPU, else "auto".
    """

    width: int
    depth: int
    heads: int
    taps: tuple[int, ...]
    mlp: Literal["gelu", "swiglu"] = "gelu"
    mlp_hidden: int = 0
    patch_size: int = 14
    position_grid: int = 37
    position_offset: float = 0.1
    position_antialias: bool = False
    registers: int = 0
    norm_epsilon: float = 1e-6
    mask_token: bool = True
    scan: bool = False
    remat: bool = False
    attention: Attention = "auto"


@dataclasses.dataclass(frozen=True)
class AnyViewConfig(EncoderConfig):
    """Encoder of Depth Anything 3's any-view models (arXiv:2511.10647).

    Taps have twice the width: the last block that looked at one view, beside the
    tapped one.

    Attributes:
        start: block from which queries and keys are normalised and rotated, class
            tokens are camera tokens, and odd blocks look at all views.
        rope_base: base of the rotary frequencies.
    """

    norm_epsilon: float = 1e-5
    mask_token: bool = False
    start: int = 4
    rope_base: float = 100.0

    def __post_init__(self):
        if self.scan:
            raise ValueError(
                "scan is not for any-view encoders, whose blocks differ; use remat"
            )
        if not 1 <= self.start < self.depth:
            raise ValueError(
                f"start {self.start} is none of the blocks 1 to {self.depth - 1}"
            )


@dataclasses.dataclass(frozen=True)
class HybridConfig:
    """Convolutional stem followed by a small ViT: the encoder of `tiny`.

    The stem is the first eleven blocks of EfficientNet-Lite0, with maps at strides 4, 8
    and 16; the transformer works on the last of them, as in DPT-Hybrid (Ranftl et al.
    2021, arXiv:2103.13413).

    Attributes:
        width, depth, heads, taps, mlp_hidden, remat: as in `EncoderConfig`. The head
            receives the stem's maps at strides 4 and 8, then the tapped blocks.
        position_grid: side of the trained grid of position embeddings.
        patch_size: stride of the tokens in pixels.
        stem: which convolutional stem.
        coarse_size: short side, in pixels, to which the transformer's copy of a larger
            picture is reduced; strides 4 and 8 see the picture. None reduces nothing.
    """

    width: int = 192
    depth: int = 6
    heads: int = 3
    taps: tuple[int, ...] = (2, 5)
    mlp_hidden: int = 768
    position_grid: int = 14
    patch_size: int = 16
    stem: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    coarse_size: int | None = None
    remat: bool = False


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """Dense prediction head, DPT (Ranftl et al. 2021, arXiv:2103.13413).

    Attributes:
        features: width of the fusion stages.
        channels: widths of the four reassembled maps, finest first.
        resize: what brings each tap to its level's stride.
        output_channels: width of the last hidden convolution.
        activation: what turns the last convolution into depth. "sigmoid" is times
            `ModelConfig.max_depth` where there is one.
    """

    features: int
    channels: tuple[int, int, int, int]
    resize: tuple[Resize, Resize, Resize, Resize] = ("up4", "up2", "keep", "down2")
    output_channels: int = 32
    activation: Activation = "relu"

    def __post_init__(self):
        if self.activation not in get_args(Activation):
            raise ValueError(
                f"activation {self.activation!r} is not one of "
                f"{', '.join(get_args(Activation))}"
            )


@dataclasses.dataclass(frozen=True)
class PromptHeadConfig(HeadConfig):
    """Head of Prompt Depth Anything (Lin et al. 2024, arXiv:2412.14015).

    `HeadConfig` and, in every fusion block, a branch for a coarse metric depth map.
    Its sigmoid spans the range of that map, so there is no max_depth.
    """

    activation: Activation = "sigmoid"


@dataclasses.dataclass(frozen=True)
class SkyHeadConfig(HeadConfig):
    """Head of Depth Anything 3 mono and metric: `HeadConfig` and a second map, sky."""

    activation: Activation = "exp"


@dataclasses.dataclass(frozen=True)
class DualHeadConfig(HeadConfig):
    """Head of Depth Anything 3's any-view models.

    Two chains over the same levels, for depth and for rays, each with a confidence;
    and the cameras.
    """

    activation: Activation = "exp"


@dataclasses.dataclass(frozen=True)
class VideoHeadConfig(HeadConfig):
    """Head of Video Depth Anything (Chen et al. 2025, arXiv:2501.12375).

    `HeadConfig` and four modules whose attention runs along time.

    Attributes:
        frames: most frames of one clip, and the window of the published method.
    """

    frames: int = 32


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A whole network and what its output means.

    Attributes:
        name: catalogue name, or the user's own.
        encoder: the encoder.
        head: the head; None for a bare encoder (`kind` "features").
        kind: what the output means: "inverse_depth" (relative, larger is nearer),
            "metric_depth" (metres), "depth" (relative, larger is farther) or
            "features". `head.activation` says how it is computed.
        max_depth: metres at which the sigmoid of a metric model saturates; None
            where nothing saturates. Published `.pth` files do not carry it. A head
            described without its activation, as every one was before there was that
            field, ends in "sigmoid" where this is given.
        dtype: what matrix products and convolutions compute in. Parameters,
            normalisation, softmax and the output stay float32.
        image_size: short side in pixels that pictures are resized to; the long side
            for the "upper_bound" ways of Depth Anything 3.
        resample: how: "original" as in the authors' code (cv2's cubic, which takes
            every n-th pixel of a large photo), "transformers" (Pillow's bicubic,
            which averages them), "shrink_area" (Prompt Depth Anything: the mean over
            each cell, never enlarged) or one of Depth Anything 3's.
        mean, std: per-channel RGB normalisation of values in [0, 1].
        canonical_focal: of a model whose depth is that of a camera of so many pixels
            focal length; times focal / canonical_focal it is metres.
        metric: the second network of a nested model, which says how many metres the
            first one's depth is; its parameters stand below "metric".
        restore: how a map comes back to its picture's size: "aligned" (bilinear, the
            corners of both the same points: `infer_image` of V2), "half_pixel"
            (bilinear, the edges the same: `run.py` of V1) or "bicubic"
            (transformers, which can leave the map's range).
    """

    name: str
    encoder: EncoderConfig | HybridConfig
    head: HeadConfig | None
    kind: Kind = "inverse_depth"
    max_depth: float | None = None
    dtype: Dtype = "float32"
    image_size: int = 518
    resample: Resample = "original"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    canonical_focal: float | None = None
    metric: "ModelConfig | None" = None
    restore: Restore = "aligned"

    def __post_init__(self):
        if self.max_depth is not None and self.kind != "metric_depth":
            raise ValueError(
                f"model {self.name!r}: kind {self.kind!r} and max_depth "
                f"{self.max_depth} do not match; a metric model may have a max_depth "
                "in metres, every other kind has None"
            )
        if (self.kind == "features") != (self.head is None):
            raise ValueError(
                f"model {self.name!r}: kind {self.kind!r} and head {self.head} do not "
                'fit; a bare encoder has kind "features" and no head'
            )
        if self.head is not None:
            self._settle_activation(self.head)
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"dtype {self.dtype!r} is not supported; use 'float32' or 'bfloat16'"
            )
        if self.restore not in get_args(Restore):
            raise ValueError(
                f"restore {self.restore!r} is not one of {', '.join(get_args(Restore))}"
            )

    def _settle_activation(self, head: HeadConfig) -> None:
        """Bring `max_depth` and the head's activation together, or refuse."""
        if self.max_depth is not None and head.activation == "relu":
            # Nothing but a sigmoid saturates: a description from before the field.
            head = dataclasses.replace(head, activation="sigmoid")
            object.__setattr__(self, "head", head)
        if self.max_depth is not None and head.activation != "sigmoid":
            raise ValueError(
                f"model {self.name!r}: max_depth {self.max_depth} does not go with "
                f"activation {head.activation!r}; only a sigmoid saturates, so leave "
                "max_depth out"
            )
        bounded = self.max_depth is not None or isinstance(head, PromptHeadConfig)
        sigmoid = head.activation == "sigmoid"
        if self.kind == "metric_depth" and sigmoid and not bounded:
            raise ValueError(
                f"model {self.name!r}: a metric model that ends in a sigmoid needs its "
                "max_depth in metres"
            )


def to_json(config: ModelConfig) -> str:
    """Return `config` as an indented JSON document."""
    return json.dumps(_to_document(config), indent=2) + "\n"


def _to_document(config: ModelConfig) -> dict[str, Any]:
    document = dataclasses.asdict(config)
    names = _ENCODER_NAMES | _HEAD_NAMES
    for part in ("encoder", "head"):
        if document[part] is not None:
            kind = names[type(getattr(config, part))]
            document[part] = {"type": kind, **document[part]}
    if config.metric is not None:
        document["metric"] = _to_document(config.metric)
    return document


def from_json(
    text: str, restore: Mapping[str, Restore] = MappingProxyType({})
) -> ModelConfig:
    """Return the `ModelConfig` in a JSON document.

    Args:
        text: of the document.
        restore: name -> that field of models that a document may describe without it,
            as every one did before there was that field.

    Raises:
        ValueError: the text is not JSON, a key is unknown, missing or of the
            wrong type; the message names it.
    """
    try:
        document = parsed(text)
    except RecursionError:
        raise ValueError("the model description is nested too deeply") from None
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise ValueError(
            f"the model description is not JSON: {str(error)[:200]}"
        ) from None
    return _from_document(document, restore=restore)


def _from_document(
    document: Any,
    where: str = "",
    restore: Mapping[str, Restore] = MappingProxyType({}),
) -> ModelConfig:
    if not isinstance(document, dict):
        raise ValueError("the model description must be a JSON object")
    document = dict(document)
    if document.get("metric") is not None:
        if where:
            raise ValueError(f"{where}metric: a second model has none of its own")
        document["metric"] = _from_document(document["metric"], "metric.", restore)
    if not isinstance(document.get("encoder"), dict):
        raise ValueError('the model description needs an "encoder" object')
    document["encoder"] = _part(document["encoder"], "encoder", _ENCODER_TYPES, None)
    if document.get("head") is not None:
        document["head"] = _part(document["head"], "head", _HEAD_TYPES, "dpt")
    if "restore" not in document and document.get("name") in restore:
        document["restore"] = restore[document["name"]]
    config = _build(ModelConfig, document, "model")
    check_config(config, where)
    return config


_ENCODER_TYPES: dict[str, type] = {
    "dinov2": EncoderConfig,
    "hybrid": HybridConfig,
    "any_view": AnyViewConfig,
}
_ENCODER_NAMES = {cls: name for name, cls in _ENCODER_TYPES.items()}
_HEAD_TYPES: dict[str, type] = {
    "dpt": HeadConfig,
    "prompt_dpt": PromptHeadConfig,
    "video_dpt": VideoHeadConfig,
    "sky_dpt": SkyHeadConfig,
    "dual_dpt": DualHeadConfig,
}
_HEAD_NAMES = {cls: name for name, cls in _HEAD_TYPES.items()}


def with_encoder(config: ModelConfig, **changes: Any) -> ModelConfig:
    """Return `config` with those changes of its encoder that this encoder has.

    How an encoder runs, such as `scan` or `attention`, is not set in every kind.
    """
    fields = {field.name for field in dataclasses.fields(config.encoder)}
    kept = {name: value for name, value in changes.items() if name in fields}
    encoder = dataclasses.replace(config.encoder, **kept)
    return dataclasses.replace(config, encoder=encoder)


def _part(values: Any, where: str, types: dict[str, type], default: str | None) -> Any:
    """Construct the encoder or the head that a description's "type" names."""
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected an object, not {type(values).__name__}")
    values = dict(values)
    kind = values.pop("type", default)
    if not isinstance(kind, str) or kind not in types:
        raise ValueError(
            f"{where} type {str(kind)[:80]!r} is unknown; known: {', '.join(types)}"
        )
    return _build(types[kind], values, where)


def _build(cls: type, values: Any, where: str) -> Any:
    """Construct dataclass `cls` from JSON values, lists becoming tuples."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(fields))
    missing = sorted(
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in values
    )
    if unknown or missing:
        unknown = [key[:80] for key in unknown[:5]]
        raise ValueError(
            f"{where}: unknown keys {unknown}, missing keys {missing}; "
            f"known keys: {', '.join(fields)}"
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    hints = get_type_hints(cls)
    for name, value in values.items():
        check_field(name, value, hints[name], f"{where}.")
    return cls(**values)
