"""transformers' `config.json`: read into a `ModelConfig`, and written back."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax_depth._typing import Params
from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig, PromptHeadConfig
from jax_depth.formats.atomic import new_directory
from jax_depth.formats.json_file import read_json
from jax_depth.formats.safetensors import write_safetensors
from jax_depth.models.architectures import published_keys
from jax_depth_convert.state_dicts import invert_params, published_encoder

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")

_ENCODERS = ("dinov2", "dinov2_with_registers")
_HEADS: Mapping[str, type[HeadConfig]] = {
    "depth_anything": HeadConfig,
    "prompt_depth_anything": PromptHeadConfig,
}
_ARCHITECTURES: Mapping[str, str] = {
    "depth_anything": "DepthAnythingForDepthEstimation",
    "prompt_depth_anything": "PromptDepthAnythingForDepthEstimation",
}
# Defaults of Dinov2Config and DepthAnythingConfig; older files leave them out.
_ENCODER_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "mlp_ratio": 4,
    "image_size": 224,
    "patch_size": 14,
    "use_swiglu_ffn": False,
    "num_register_tokens": 4,
}
_HEAD_DEFAULTS: Mapping[str, Any] = {
    "fusion_hidden_size": 64,
    "neck_hidden_sizes": [48, 96, 192, 384],
    "head_hidden_size": 32,
    "depth_estimation_type": "relative",
    "max_depth": 1,
}
# The architecture built here; a file that says otherwise holds another network.
_ENCODER_FIXED: Mapping[str, Any] = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "num_channels": 3,
    "qkv_bias": True,
}
_BACKBONE_FIXED: Mapping[str, Any] = {"apply_layernorm": True}
_HEAD_FIXED: Mapping[str, Any] = {
    "reassemble_factors": [4, 2, 1, 0.5],
    "head_in_index": -1,
}


def config_from_transformers(path: Path) -> ModelConfig:
    """Return the model that a transformers `config.json` describes.

    The position embedding's offset is not in that file: encoders without registers
    get the 0.1 that the published weights were trained with. For weights fine-tuned in
    transformers 4.45 or later, which does not apply it, set `position_offset` to 0.0.

    Args:
        path: the file; the model gets the name of its directory.

    Raises:
        ValueError: an unsupported architecture or configuration value.
    """
    try:
        document = read_json(path)
        kind = document.get("model_type")
    except (ValueError, AttributeError):
        raise ValueError(f"{path}: is not a JSON description of a model") from None
    name = path.resolve().parent.name
    try:
        if kind in _ENCODERS:
            return ModelConfig(name, _encoder(document, (), path), None, "features")
        if kind in _HEADS:
            return _depth_model(document, name, path)
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"{path}: malformed ({type(error).__name__}: {error})"
        ) from None
    known = ", ".join(sorted((*_HEADS, *_ENCODERS)))
    raise ValueError(f"{path}: model_type {kind!r} is not one of {known}")


def write_transformers_folder(
    params: Params,
    config: ModelConfig,
    directory: str | os.PathLike,
    dtype: str | None = None,
) -> None:
    """Write a directory that `AutoModelForDepthEstimation.from_pretrained` loads.

    The directory contains `config.json`, `model.safetensors` and
    `preprocessor_config.json`; a bare encoder loads with `AutoModel`. transformers does
    not apply the 0.1 offset of the position embedding, so at sizes other than 518x518
    its depth is that of `position_offset=0.0`.

    Args:
        params: nested dict of arrays.
        config: the `ModelConfig` that `params` belong to.
        directory: a new or empty directory, or an older one of this kind to replace.
        dtype: "float32", "float16" or "bfloat16" for every tensor; None keeps each.

    Raises:
        ValueError: `params` do not fit `config`, or transformers' configuration cannot
            describe the model.
        FileExistsError: `directory` is a file or holds something else.
    """
    state = invert_params(params, config, "transformers")
    stored = dtype or next(iter(state.values())).dtype.name
    document = _model_document(config) | {"dtype": stored}
    with new_directory(directory, replaces=FILES) as temporary:
        texts = {
            "config.json": document,
            "preprocessor_config.json": _processor_document(config),
        }
        for name, content in texts.items():
            text = json.dumps(content, indent=2) + "\n"
            (temporary / name).write_text(text, encoding="utf-8")
        # transformers refuses files that do not call their format "pt".
        weights = temporary / "model.safetensors"
        write_safetensors(weights, state, dtype, {"format": "pt"})


def _encoder(document: Mapping, taps: tuple[int, ...], path: Path) -> EncoderConfig:
    _require(document, _ENCODER_FIXED, path)
    values = {**_ENCODER_DEFAULTS, **document}
    width = values["hidden_size"]
    swiglu = bool(values["use_swiglu_ffn"])
    registers = (
        values["num_register_tokens"]
        if values["model_type"] == "dinov2_with_registers"
        else 0
    )
    return EncoderConfig(
        width=width,
        depth=values["num_hidden_layers"],
        heads=values["num_attention_heads"],
        taps=taps,
        mlp="swiglu" if swiglu else "gelu",
        mlp_hidden=_hidden(width, values["mlp_ratio"], swiglu),
        patch_size=values["patch_size"],
        position_grid=values["image_size"] // values["patch_size"],
        position_offset=0.0 if registers else 0.1,
        position_antialias=bool(registers),
        registers=registers,
    )


def _hidden(width: int, ratio: float, swiglu: bool) -> int:
    """Return the MLP's width; two thirds, rounded up to 8, for each half of SwiGLU."""
    hidden = int(width * ratio)
    return (int(hidden * 2 / 3) + 7) // 8 * 8 if swiglu else hidden


def _depth_model(document: Mapping, name: str, path: Path) -> ModelConfig:
    backbone = document["backbone_config"]
    if not isinstance(backbone, dict) or backbone.get("model_type") != "dinov2":
        raise ValueError(
            f"{path}: its backbone_config is not of model_type 'dinov2', the only one "
            "that is supported"
        )
    _require(backbone, _BACKBONE_FIXED, path)
    _require(document, _HEAD_FIXED, path)
    values = {**_HEAD_DEFAULTS, **document}
    # Stage 0 is the patch embedding, so block i is stage i + 1.
    stages = backbone.get("out_indices") or [
        int(name.removeprefix("stage")) for name in backbone["out_features"]
    ]
    metric = values["depth_estimation_type"] == "metric"
    head = _HEADS[document["model_type"]]
    prompted = head is PromptHeadConfig
    encoder = _encoder(backbone, tuple(stage - 1 for stage in stages), path)
    # The first version taps the last four blocks, and its way back is its own.
    # Four blocks in all are evenly spaced too, as in the second.
    last = tuple(range(encoder.depth - 4, encoder.depth))
    first = encoder.taps == last and encoder.depth > 4
    return ModelConfig(
        name=name,
        encoder=encoder,
        head=head(
            features=values["fusion_hidden_size"],
            channels=tuple(values["neck_hidden_sizes"]),
            output_channels=values["head_hidden_size"],
        ),
        kind="metric_depth" if metric else "inverse_depth",
        max_depth=float(values["max_depth"]) if metric and not prompted else None,
        image_size=1008 if prompted else 518,
        resample="shrink_area" if prompted else "original",
        restore="half_pixel" if prompted or (first and not metric) else "aligned",
    )


def _require(document: Mapping, fixed: Mapping[str, Any], path: Path) -> None:
    for key, value in fixed.items():
        if document.get(key, value) != value:
            raise ValueError(
                f"{path}: {key} is {document[key]!r}; only {value!r} is supported"
            )


def _model_document(config: ModelConfig) -> dict[str, Any]:
    encoder, head = published_encoder(config), config.head
    backbone = _encoder_document(encoder, config.name)
    if head is None:
        registers = "WithRegisters" if encoder.registers else ""
        return {"architectures": [f"Dinov2{registers}Model"], **backbone}
    metric = config.kind == "metric_depth"
    kind = published_keys(config) or ""
    prompted = kind == "prompt_depth_anything"
    # Its strict configuration takes whole numbers only.
    max_depth = None if prompted else int(config.max_depth or 1)
    activation = "sigmoid" if metric else "relu"
    repeated = len(set(encoder.taps)) < len(encoder.taps)
    uneven = metric and max_depth != config.max_depth
    inexpressible = {
        f"kind {config.kind!r}": config.kind == "depth",
        f"activation {head.activation!r}": head.activation != activation,
        f"{encoder.registers} registers": encoder.registers,
        f"resizes {head.resize}": head.resize != _RESIZE,
        f"taps {encoder.taps} (a block twice)": repeated,
        f"max_depth {config.max_depth} (not a whole number)": uneven,
    }
    if any(inexpressible.values()):
        what = " and ".join(what for what, is_so in inexpressible.items() if is_so)
        raise ValueError(
            f"model {config.name!r}: transformers' DepthAnythingConfig cannot express "
            f"{what}; use the original layout"
        )
    stages = [tap + 1 for tap in encoder.taps]
    return {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        "backbone_config": {
            **backbone,
            "out_indices": stages,
            "out_features": [f"stage{stage}" for stage in stages],
            "apply_layernorm": True,
            "reshape_hidden_states": False,
        },
        "patch_size": encoder.patch_size,
        "reassemble_hidden_size": encoder.width,
        "neck_hidden_sizes": list(head.channels),
        "fusion_hidden_size": head.features,
        "head_hidden_size": head.output_channels,
        "depth_estimation_type": "metric" if metric else "relative",
        "max_depth": max_depth,
        **_HEAD_FIXED,
    }


_RESIZE = ("up4", "up2", "keep", "down2")


def _encoder_document(encoder: EncoderConfig, name: str) -> dict[str, Any]:
    swiglu = encoder.mlp == "swiglu"
    ratios = [
        ratio
        for ratio in range(1, 17)
        if _hidden(encoder.width, ratio, swiglu) == encoder.mlp_hidden
    ]
    if not ratios:
        raise ValueError(
            f"model {name!r}: transformers' Dinov2Config describes no MLP of width "
            f"{encoder.mlp_hidden} on tokens of {encoder.width}; use the original "
            "layout"
        )
    kind = "dinov2_with_registers" if encoder.registers else "dinov2"
    registers = {"num_register_tokens": encoder.registers} if encoder.registers else {}
    return {
        "model_type": kind,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "mlp_ratio": ratios[0],
        "use_swiglu_ffn": swiglu,
        "image_size": encoder.position_grid * encoder.patch_size,
        "patch_size": encoder.patch_size,
        **_ENCODER_FIXED,
        **registers,
    }


def _processor_document(config: ModelConfig) -> dict[str, Any]:
    size = config.image_size
    if config.resample == "shrink_area":
        # That bounds the long side, their processor the short one.
        size = size * 3 // 4
    prompted = published_keys(config) == "prompt_depth_anything"
    name = "PromptDepthAnything" if prompted else "DPT"
    return {
        "image_processor_type": f"{name}ImageProcessor",
        **({"prompt_scale_to_meter": 0.001} if prompted else {}),
        "do_resize": True,
        "size": {"height": size, "width": size},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": config.encoder.patch_size,
        "resample": 3,  # bicubic
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(config.mean),
        "image_std": list(config.std),
        "do_pad": False,
    }
