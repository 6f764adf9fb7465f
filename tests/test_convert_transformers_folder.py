"""What is written for transformers loads there strictly and gives the same depth."""

import dataclasses
import json

import jax
import numpy as np
import oracle
import pytest
import torch
import transformers
from small_models import (
    ENCODER,
    METRIC_SWIGLU,
    PROMPT,
    REGISTERS,
    RELATIVE,
    random_params,
)

from jax_depth.catalog import MODELS
from jax_depth.models.architectures import published_keys
from jax_depth.models.depth_anything import forward
from jax_depth_convert import from_torch, load, write_transformers_folder
from jax_depth_convert.layouts import layout_of
from jax_depth_convert.transformers_folder import config_from_transformers

_BY_NAME = {"ids": lambda config: config.name}
RECTANGULAR_BATCH = (2, 28, 42, 3)


def load_strictly(cls, directory):
    model, info = cls.from_pretrained(directory, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


@pytest.fixture(autouse=True, scope="module")
def _no_progress_bar():
    transformers.utils.logging.disable_progress_bar()


@pytest.mark.parametrize("config", [RELATIVE, METRIC_SWIGLU], **_BY_NAME)
def test_depth_is_the_same_both_ways(tmp_path, config):
    source = oracle.depth_anything(config)
    source.save_pretrained(tmp_path / "theirs")
    params, found = load(tmp_path / "theirs")
    as_theirs = dataclasses.replace(found.encoder, position_offset=0.0)
    assert dataclasses.replace(found, name=config.name, encoder=as_theirs) == config

    pixels = np.random.default_rng(0).standard_normal(RECTANGULAR_BATCH, np.float32)
    expected = oracle.run(source, pixels).predicted_depth.numpy()
    assert expected.std() > 0.01
    depth = jax.jit(forward, static_argnums=2)(params, pixels, config)
    np.testing.assert_allclose(depth, expected, atol=2e-5 * expected.std())

    write_transformers_folder(params, config, tmp_path / "ours")
    cls = transformers.AutoModelForDepthEstimation
    model = load_strictly(cls, tmp_path / "ours")
    returned = oracle.run(model, pixels).predicted_depth.numpy()
    np.testing.assert_array_equal(returned, expected)
    for key, value in source.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


def test_a_prompted_models_processor_has_the_published_size(tmp_path):
    name = "prompt-depth-anything-small"
    served = dataclasses.replace(MODELS[name].config, encoder=PROMPT.encoder)
    config = dataclasses.replace(served, head=PROMPT.head)
    write_transformers_folder(random_params(config), config, tmp_path / "x")
    text = (tmp_path / "x" / "preprocessor_config.json").read_text()
    # depth-anything/prompt-depth-anything-vits-hf, preprocessor_config.json
    assert json.loads(text)["size"] == {"height": 756, "width": 756}
    assert json.loads(text)["prompt_scale_to_meter"] == 0.001


@pytest.mark.parametrize("config", [ENCODER, REGISTERS], **_BY_NAME)
def test_bare_encoder(tmp_path, config):
    source = oracle.dinov2(config)
    write_transformers_folder(
        from_torch(oracle.state(source), config), config, tmp_path / "ours"
    )
    model = load_strictly(transformers.AutoModel, tmp_path / "ours")
    assert type(model) is type(source)
    for key, value in source.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key
    offset = 0.0 if config.encoder.registers else 0.1
    encoder = dataclasses.replace(config.encoder, position_offset=offset)
    found = config_from_transformers(tmp_path / "ours" / "config.json")
    assert found == dataclasses.replace(config, name="ours", encoder=encoder)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_storage_dtype(tmp_path, dtype):
    write_transformers_folder(random_params(RELATIVE), RELATIVE, tmp_path / "x", dtype)
    cls = transformers.AutoModelForDepthEstimation
    model = load_strictly(cls, tmp_path / "x")
    assert model.dtype == getattr(torch, dtype)


def test_image_processor_is_the_published_one(tmp_path):
    write_transformers_folder(random_params(RELATIVE), RELATIVE, tmp_path / "x")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "x")
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    pixels = processor(image, return_tensors="np")["pixel_values"]
    assert pixels.shape == (1, 3, 518, 686)
    reference = transformers.DPTImageProcessor(
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    expected = reference(image, return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    "name",
    [
        n
        for n, e in MODELS.items()
        if e.config.head and layout_of(published_keys(e.config), "transformers")
    ],
)
def test_every_catalogue_model_is_described(tmp_path, name):
    """config.json of each published model, through transformers and back."""
    from jax_depth_convert.transformers_folder import _model_document

    config = MODELS[name].config
    document = _model_document(config)
    cls = {
        "depth_anything": transformers.DepthAnythingConfig,
        "prompt_depth_anything": transformers.PromptDepthAnythingConfig,
    }[document["model_type"]]
    theirs = cls(**{k: v for k, v in document.items() if k != "architectures"})
    theirs.save_pretrained(tmp_path / name)
    assert config_from_transformers(tmp_path / name / "config.json") == config


def test_older_files_leave_defaults_out(tmp_path):
    """The form of the V1 base repository: only what differs from Dinov2Config."""
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps(
            {
                "model_type": "depth_anything",
                "backbone_config": {
                    "model_type": "dinov2",
                    "image_size": 518,
                    "out_features": ["stage9", "stage10", "stage11", "stage12"],
                    "reshape_hidden_states": False,
                },
                "fusion_hidden_size": 128,
                "neck_hidden_sizes": [96, 192, 384, 768],
                "reassemble_hidden_size": 768,
            }
        )
    )
    config = MODELS["depth-anything-base"].config
    found = config_from_transformers(file)
    assert dataclasses.replace(found, name=config.name) == config


@pytest.mark.parametrize("kind", ["depth_anything", "prompt_depth_anything"])
def test_what_a_file_leaves_out_is_what_transformers_takes(kind, tmp_path):
    stages = [f"stage{i}" for i in (9, 10, 11, 12)]
    backbone = {"model_type": "dinov2", "out_features": stages, "image_size": 518}
    short = {"model_type": kind, "backbone_config": backbone}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(short))
    found = config_from_transformers(file)
    cls = {
        "depth_anything": transformers.DepthAnythingConfig,
        "prompt_depth_anything": transformers.PromptDepthAnythingConfig,
    }[kind]
    cls(backbone_config=backbone).save_pretrained(tmp_path)
    assert len(json.loads(file.read_text())) > 8
    assert config_from_transformers(file) == found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"model_type": "dpt"},
            "model_type 'dpt' is not one of depth_anything, dinov2",
        ),
        ({"backbone_config": None}, "backbone_config is not of model_type 'dinov2'"),
        ({"backbone_config": {"model_type": "beit"}}, "not of model_type 'dinov2'"),
        ({"backbone_config": {"model_type": "dinov2"}}, "malformed"),
        ({"head_in_index": 0}, "head_in_index is 0; only -1 is supported"),
        ({"reassemble_factors": [4, 2, 1, 1]}, "reassemble_factors is"),
    ],
)
def test_other_architectures_are_refused(tmp_path, change, sentence):
    write_transformers_folder(random_params(RELATIVE), RELATIVE, tmp_path / "x")
    file = tmp_path / "x" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=sentence) as error:
        load(tmp_path / "x")
    assert "config.json" in str(error.value)


def test_models_transformers_cannot_describe(tmp_path):
    uneven = dataclasses.replace(METRIC_SWIGLU, max_depth=12.5)
    with pytest.raises(ValueError, match=r"max_depth 12\.5[^,]*; use the original"):
        write_transformers_folder(random_params(METRIC_SWIGLU), uneven, tmp_path / "x")
    twice = dataclasses.replace(RELATIVE.encoder, taps=(0, 0, 1, 1))
    repeated = dataclasses.replace(RELATIVE, encoder=twice)
    with pytest.raises(ValueError, match=r"taps \(0, 0, 1, 1\) .*original layout"):
        write_transformers_folder(random_params(repeated), repeated, tmp_path / "x")
    encoder = dataclasses.replace(ENCODER.encoder, mlp_hidden=200)
    odd = dataclasses.replace(ENCODER, encoder=encoder)
    with pytest.raises(ValueError, match="no MLP of width 200"):
        write_transformers_folder(random_params(odd), odd, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
