"""Files that users of other programs have on disk, in the authors' key layout."""

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_models import METRIC_SWIGLU, RELATIVE, random_params

import jax_depth
import jax_depth_convert
from jax_depth.checkpoint import flatten

# Of Kijai/DepthAnythingV2-safetensors, which ComfyUI downloads.
KEYS = (
    "pretrained.cls_token",
    "pretrained.mask_token",
    "pretrained.pos_embed",
    "pretrained.patch_embed.proj.weight",
    "pretrained.blocks.0.attn.qkv.weight",
    "pretrained.blocks.0.ls1.gamma",
    "pretrained.norm.weight",
    "depth_head.projects.0.weight",
    "depth_head.resize_layers.3.weight",
    "depth_head.scratch.layer1_rn.weight",
    "depth_head.scratch.refinenet4.resConfUnit1.conv1.weight",
    "depth_head.scratch.refinenet1.out_conv.bias",
    "depth_head.scratch.output_conv1.weight",
    "depth_head.scratch.output_conv2.0.weight",
    "depth_head.scratch.output_conv2.2.bias",
)


@pytest.mark.parametrize(
    ("file", "config", "dtype"),
    [
        ("depth_anything_v2_vits_fp16.safetensors", RELATIVE, "float16"),
        ("depth_anything_v2_vits_fp32.safetensors", RELATIVE, "float32"),
        (
            "depth_anything_v2_metric_hypersim_vitl_fp32.safetensors",
            METRIC_SWIGLU,
            "float32",
        ),
    ],
)
def test_a_mirrors_file_loads_with_the_models_name(file, config, dtype, tmp_path):
    params = random_params(config)
    state = jax_depth_convert.to_torch(params, config, "original")
    missing = [key for key in KEYS if key not in state]
    # The giant's blocks, which only the metric model here has, are a layer deeper.
    assert [key for key in missing if "blocks" not in key] == []
    assert config is METRIC_SWIGLU or not missing
    save_file({key: x.astype(dtype) for key, x in state.items()}, tmp_path / file)
    loaded, found = jax_depth.load_params(tmp_path / file, model=config)
    assert found == config
    for name, leaf in flatten(params).items():
        got = np.asarray(flatten(loaded)[name])
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, leaf.astype(dtype).astype(np.float32))


def test_a_bare_file_lists_what_it_may_be_and_loads_by_name(tmp_path):
    state = jax_depth_convert.to_torch(random_params(RELATIVE), RELATIVE, "original")
    file = tmp_path / "depth_anything_v2_vits_fp16.safetensors"
    save_file({key: x.astype("float16") for key, x in state.items()}, file)
    with pytest.raises(ValueError, match="model"):
        jax_depth.load(file)
    assert jax_depth.load(file, model=RELATIVE).config == RELATIVE
