"""Key tables: both layouts, both directions, strict on both sides."""

import re

import numpy as np
import oracle
import pytest
import torch
from small_models import (
    ALL,
    ENCODER,
    METRIC_SWIGLU,
    RELATIVE,
    assert_same,
    random_params,
)

from jax_depth.catalog import MODELS
from jax_depth.checkpoint import flatten, leaf_shapes
from jax_depth.config import HybridConfig, ModelConfig
from jax_depth_convert import from_torch, recognise, to_torch
from jax_depth_convert.depth_anything import TABLES
from jax_depth_convert.rules import TRANSFORMS, Rule, invert, match

LAYOUTS = pytest.mark.parametrize("layout", ["original", "transformers"])
PUBLISHED = (
    MODELS["depth-anything-v2-small"].config,
    MODELS["dinov2-small-registers"].config,
)
_BY_NAME = {"ids": lambda config: config.name}


@LAYOUTS
@pytest.mark.parametrize("config", (*ALL, *PUBLISHED), **_BY_NAME)
def test_round_trip_is_bit_equal(config, layout):
    params = random_params(config)
    state = to_torch(params, config, layout)
    found = recognise(state)
    assert (found.layout, found.fits(config)) == (layout, True)
    assert_same(flatten(from_torch(state, config)), flatten(params))
    again = to_torch(from_torch(state, config), config, layout)
    assert_same(again, state)
    assert all(x.flags.c_contiguous and x.flags.writeable for x in again.values())


@LAYOUTS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_stored_dtype_is_kept(layout, dtype):
    params = random_params(RELATIVE, dtype=dtype)
    state = to_torch(params, RELATIVE, layout)
    assert {x.dtype.name for x in state.values()} == {dtype}
    assert_same(flatten(from_torch(state, RELATIVE)), flatten(params))


@pytest.mark.parametrize("config", ALL, **_BY_NAME)
def test_keys_and_shapes_are_transformers_own(config):
    model = (
        oracle.dinov2(config) if config.head is None else oracle.depth_anything(config)
    )
    in_memory = oracle.state(model)
    params = from_torch(in_memory, config)
    written = to_torch(params, config, "transformers")
    renamed = {
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "weights_out": "down_proj",
    }
    for old, new in renamed.items():
        written = {key.replace(old, new): value for key, value in written.items()}
    for key in [key for key in written if "weights_in" in key]:
        gate, up = np.split(written.pop(key), 2)
        written[key.replace("weights_in", "gate_proj")] = gate
        written[key.replace("weights_in", "up_proj")] = up
    assert_same(written, in_memory)


def published_conversion(state, config):
    """transformers' `convert_depth_anything_to_hf.py`, by renaming alone."""
    rows = [
        (r"pretrained\.pos_embed", "backbone.embeddings.position_embeddings"),
        (r"pretrained\.(cls_token|mask_token)", r"backbone.embeddings.\1"),
        (
            r"pretrained\.patch_embed\.proj",
            "backbone.embeddings.patch_embeddings.projection",
        ),
        (r"pretrained\.norm\b", "backbone.layernorm"),
        (r"pretrained\.blocks\.", "backbone.encoder.layer."),
        (r"\.ls(\d)\.gamma", r".layer_scale\1.lambda1"),
        (r"\.attn\.proj", ".attention.output.dense"),
        (r"\.mlp\.w12", ".mlp.weights_in"),
        (r"\.mlp\.w3", ".mlp.weights_out"),
        (r"depth_head\.projects\.(\d)", r"neck.reassemble_stage.layers.\1.projection"),
        (r"depth_head\.resize_layers\.(\d)", r"neck.reassemble_stage.layers.\1.resize"),
        (r"depth_head\.scratch\.output_conv2\.0", "head.conv2"),
        (r"depth_head\.scratch\.output_conv2\.2", "head.conv3"),
        (r"depth_head\.scratch\.output_conv1", "head.conv1"),
        (r"\.out_conv\.", ".projection."),
        (r"\.resConfUnit(\d)\.conv(\d)", r".residual_layer\1.convolution\2"),
    ]
    for i in (1, 2, 3, 4):
        stage = f"neck.fusion_stage.layers.{4 - i}"
        rows.append((rf"depth_head\.scratch\.refinenet{i}", stage))
        rows.append((rf"depth_head\.scratch\.layer{i}_rn", f"neck.convs.{i - 1}"))
    result = {}
    for key, value in state.items():
        for pattern, replacement in rows:
            key = re.sub(pattern, replacement, key)
        if ".attn.qkv" in key:
            d = config.encoder.width
            for i, name in enumerate(("query", "key", "value")):
                part = f".attention.attention.{name}"
                result[key.replace(".attn.qkv", part)] = value[i * d : (i + 1) * d]
        else:
            result[key] = value
    return result


@pytest.mark.parametrize("config", [RELATIVE, METRIC_SWIGLU], **_BY_NAME)
def test_layouts_agree_as_transformers_converts_them(config):
    params = random_params(config)
    original = to_torch(params, config, "original")
    assert_same(
        to_torch(params, config, "transformers"), published_conversion(original, config)
    )


def test_published_tensor_counts():
    """Counted in the authors' modules: 239 for S, 631 for G."""
    for name, count in (
        ("depth-anything-v2-small", 239),
        ("depth-anything-v2-giant", 631),
    ):
        config = MODELS[name].config
        keys = invert(TABLES["original", True], leaf_shapes(config))
        assert len(keys) == count
        assert keys["pretrained.blocks.0.attn.qkv.weight"].shape == (
            3 * config.encoder.width,
            config.encoder.width,
        )
        assert keys["depth_head.resize_layers.1.weight"].shape == (
            *[config.head.channels[1]] * 2,
            2,
            2,
        )


@pytest.mark.parametrize(
    ("config", "prefix", "pattern", "example"),
    [
        (ENCODER, "", "blocks.{chunk}.{n}.", "blocks.1.3.norm1.weight"),
        (
            RELATIVE,
            "pretrained.",
            "blocks.{chunk}.{n}.",
            "pretrained.blocks.1.3.ls1.gamma",
        ),
        (RELATIVE, "backbone.", "blocks.{n}.", "backbone.blocks.3.ls1.gamma"),
        (RELATIVE, "backbone.", "blocks.{chunk}.{n}.", "backbone.blocks.1.2.ls1.gamma"),
        (RELATIVE, "backbone.", "{n}.", "backbone.3.ls1.gamma"),
    ],
)
def test_other_spellings_are_read(config, prefix, pattern, example):
    """Chunked blocks of DINOv2's training, and files of Distill-Any-Depth."""

    def spell(hit):
        return pattern.format(n=hit[1], chunk=int(hit[1]) // 2)

    params = random_params(config)
    state = {
        re.sub(r"blocks\.(\d)\.", spell, key.replace("pretrained.", prefix)): x
        for key, x in to_torch(params, config).items()
    }
    assert example in state
    assert recognise(state).fits(config)
    assert_same(flatten(from_torch(state, config)), flatten(params))


def test_wrappers_of_ones_own_state_dict():
    params = random_params(ENCODER)
    state = {f"module.{k}": x for k, x in to_torch(params, ENCODER).items()}
    assert_same(flatten(from_torch(state, ENCODER)), flatten(params))


def test_torch_tensors():
    model = oracle.dinov2(ENCODER)
    params = from_torch(model.state_dict(), ENCODER)
    assert_same(flatten(params), flatten(from_torch(oracle.state(model), ENCODER)))
    # Of parameters that require a gradient, and in bfloat16, as they are.
    assert_same(
        flatten(from_torch(dict(model.named_parameters()), ENCODER)), flatten(params)
    )
    stored = flatten(from_torch(model.bfloat16().state_dict(), ENCODER))
    assert {leaf.dtype.name for leaf in stored.values()} == {"bfloat16"}
    np.testing.assert_allclose(
        stored["encoder/cls_token"].astype(np.float32),
        flatten(params)["encoder/cls_token"],
        rtol=2**-8,
    )


def test_all_errors_in_one_message():
    state = to_torch(random_params(RELATIVE), RELATIVE)
    state["pretrained.blocks.1.norm1.wieght"] = state.pop(
        "pretrained.blocks.1.norm1.weight"
    )
    state["depth_head.projects.0.weight"] = np.zeros((5, 64, 1, 1), np.float32)
    state["depth_head.sky.bias"] = np.zeros(3, np.float32)
    state["pretrained.norm.bias"] = np.zeros(64, np.int64)
    del state["pretrained.cls_token"], state["depth_head.scratch.output_conv1.bias"]
    state["pretrained.register_tokens"] = np.zeros((1, 4, 64), np.float32)
    state["pretrained.blocks.0.0.ls1.gamma"] = state["pretrained.blocks.0.ls1.gamma"]
    state["register_tokens"] = state["cls_token"] = np.zeros((1, 1, 64), np.float32)
    with pytest.raises(ValueError, match="do not fit model 'small-relative'") as error:
        from_torch(state, RELATIVE)
    message = str(error.value)
    for problem in (
        "unexpected 'pretrained.blocks.1.norm1.wieght' (",
        "missing 'pretrained.blocks.1.norm1.weight' (",
        "'depth_head.projects.0.weight' has shape (5, 64, 1, 1), ",
        "(8, 64, 1, 1)",
        "unexpected 'depth_head.sky.bias'",
        "'pretrained.norm.bias' has dtype int64",
        "missing 'pretrained.cls_token'",
        "missing 'depth_head.scratch.output_conv1.bias'",
        "unexpected 'pretrained.register_tokens'",
        "'pretrained.blocks.0.0.ls1.gamma' and 'pretrained.blocks.0.ls1.gamma'",
    ):
        assert problem in message, problem


def test_a_tensor_that_numpy_cannot_hold_is_named():
    state = oracle.state(oracle.dinov2(ENCODER))
    key = next(iter(state))
    state[key] = torch.ones(2, 2).to_sparse()
    with pytest.raises(ValueError, match=r"\(.*[Ss]parse.*\); pass tensor") as error:
        from_torch(state, ENCODER)
    assert repr(key) in str(error.value)


def test_of_many_problems_the_first_are_named_and_the_others_counted():
    state = to_torch(random_params(ENCODER), ENCODER, "transformers")
    state |= {f"x.{i}": np.zeros(1, np.float32) for i in range(25)}
    with pytest.raises(ValueError, match=r"'x\.0'; unexpected 'x\.1'; and 23 more"):
        from_torch(state, ENCODER)


def test_missing_slice_is_named_in_the_files_spelling():
    state = to_torch(random_params(ENCODER), ENCODER, "transformers")
    lost = "encoder.layer.2.attention.attention.key.weight"
    del state[lost]
    with pytest.raises(ValueError, match=re.escape(f"missing '{lost}'")) as error:
        from_torch(state, ENCODER)
    assert str(error.value).count("missing") == 1

    state = oracle.state(oracle.dinov2(ENCODER))
    lost = "encoder.layer.2.attention.k_proj.weight"
    del state[lost]
    with pytest.raises(ValueError, match=re.escape(f"missing '{lost}'")) as error:
        from_torch(state, ENCODER)
    assert str(error.value).count("missing") == 1


def test_whole_and_slices_together_are_doubled():
    state = to_torch(random_params(METRIC_SWIGLU), METRIC_SWIGLU, "transformers")
    layer = "backbone.encoder.layer.0.mlp"
    state[f"{layer}.gate_proj.bias"] = state[f"{layer}.weights_in.bias"][:176]
    with pytest.raises(ValueError, match=r"gate_proj\.bias' and .*weights_in\.bias'"):
        from_torch(state, METRIC_SWIGLU)


@pytest.mark.parametrize("file", PUBLISHED[:1], **_BY_NAME)
def test_another_size_says_which(file):
    state = to_torch(random_params(file), file)
    with pytest.raises(ValueError, match="of width 384 with 12 blocks in the original"):
        from_torch(state, RELATIVE)


def test_unknown_layouts():
    for state in (
        {},
        {"model.backbone.pretrained.cls_token": np.zeros((1, 1, 8))},
        {"core.core.pretrained.model.cls_token": np.zeros((1, 1, 8))},
    ):
        with pytest.raises(ValueError, match=r"not those of a .*Anything V1, V2"):
            from_torch(state, RELATIVE)
    with pytest.raises(ValueError, match=r"cls_token of shape .* is missing"):
        recognise({"blocks.0.norm1.weight": np.zeros(3), "cls_token": np.zeros(())})
    with pytest.raises(ValueError, match="layout 'keras' is unknown"):
        to_torch(random_params(ENCODER), ENCODER, "keras")


def test_params_that_do_not_fit():
    params = random_params(ENCODER)
    del params["encoder"]["cls_token"]
    with pytest.raises(ValueError, match="missing encoder/cls_token"):
        to_torch(params, ENCODER)


def test_model_without_a_published_layout():
    tiny = ModelConfig("tiny", HybridConfig(), RELATIVE.head)
    with pytest.raises(ValueError, match="no PyTorch counterpart"):
        to_torch({}, tiny)


def test_every_transform_is_a_permutation_and_every_rule_names_one():
    rng = np.random.default_rng(0)
    for name, axes in TRANSFORMS.items():
        shape = (2, 3, 4, 5)[: len(axes)] if axes else (4,)
        leaf = rng.standard_normal(shape)
        rules = [Rule("key", "path", name)]
        published = invert(rules, {"path": leaf})
        assert published["key"].shape == np.asarray(published["key"]).shape
        result = match(rules, published, {"path": leaf})
        np.testing.assert_array_equal(result["path"], leaf)
    assert all(rule.transform in TRANSFORMS for t in TABLES.values() for rule in t)
