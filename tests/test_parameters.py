"""Every preset, the giant included, without allocating a parameter."""

import dataclasses
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jax_depth.catalog import MODELS
from jax_depth.models.architectures import network_row
from jax_depth.models.depth_anything import apply, check_size, forward, param_shapes
from jax_depth.models.initialize import init

GOLDEN = json.loads((Path(__file__).parent / "golden" / "parameters.json").read_text())
PINNED = {name: group["tree"] for group in GOLDEN for name in group["models"]}

# Published beside the giants of Depth Anything 3; no network here reads it.
GAUSSIAN_HEAD = 35_628_486


def _paths(tree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


_TRACED = {}


def _shapes(config):
    # Tracing a giant takes seconds, and many models have one network.
    key = config.encoder, config.head, config.metric
    if key not in _TRACED:
        _TRACED[key] = param_shapes(config)
    return _TRACED[key]


@pytest.mark.parametrize("name", MODELS)
def test_tree_is_pinned_and_counts_as_published(name):
    config = MODELS[name].config
    paths = _paths(_shapes(config))
    published = MODELS[name].parameters
    if name.startswith("depth-anything-3-") and "giant" in name:
        published -= GAUSSIAN_HEAD
    assert sum(int(np.prod(s)) for s in paths.values()) == published

    expected = {}
    for path, shape in PINNED[name].items():
        match = re.search(r"block_\*(?:(\d+)-)?(\d+)", path)
        blocks = range(int(match[1] or 0), int(match[2])) if match else range(1)
        for i in blocks:
            expected[re.sub(r"block_\*[\d-]+", f"block_{i}", path)] = tuple(shape)
    assert paths == expected


def test_every_model_is_pinned():
    assert set(PINNED) == set(MODELS)


# The smallest of each kind of network, and those whose blocks are of another kind.
FORWARD = {}
for _name, _entry in MODELS.items():
    _parts = _entry.config.encoder, _entry.config.head
    FORWARD.setdefault((*map(type, _parts), getattr(_parts[0], "mlp", None)), _name)


@pytest.mark.parametrize(
    "name", [name for name in FORWARD.values() if MODELS[name].config.head]
)
def test_forward_shape(name):
    config = MODELS[name].config
    patch = config.encoder.patch_size
    row = network_row(config)
    axis = (2,) if row.axis is None else (2, 2)
    pixels = jax.ShapeDtypeStruct((*axis, 3 * patch, 5 * patch, 3), np.float32)
    conditions = {"prompt": jax.ShapeDtypeStruct((2, 6, 8), np.float32)}
    conditions = {name: x for name, x in conditions.items() if name in row.takes}
    output = jax.eval_shape(
        lambda p, x, c: apply(p, x, config, **c),
        _shapes(config),
        pixels,
        conditions,
    )
    assert output.depth.shape == (*axis, 3 * patch, 5 * patch)
    assert output.depth.dtype == np.float32


@pytest.mark.slow
def test_init_gives_a_plain_dict_of_living_parameters():
    config = MODELS["depth-anything-v2-small"].config
    encoder = dataclasses.replace(config.encoder, depth=4, taps=(0, 1, 2, 3))
    config = dataclasses.replace(config, encoder=encoder)
    params = init(config, jax.random.key(0))
    assert type(params) is dict and type(params["encoder"]["block_0"]) is dict
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    kernel = params["head"]["output_conv1"]["kernel"]
    assert float(kernel.std()) == pytest.approx(1 / (9 * 64) ** 0.5, rel=0.02)
    kernel = params["encoder"]["block_0"]["mlp"]["fc1"]["kernel"]
    assert float(kernel.std()) == pytest.approx(0.02, rel=0.02)
    pixels = jax.random.normal(jax.random.key(1), (1, 28, 42, 3))
    depth = jax.jit(forward, static_argnums=2)(params, pixels, config)
    assert float(depth.std()) > 0


@pytest.mark.parametrize("shape", [(1, 30, 28, 3), (28, 28, 3), (1, 28, 28, 4)])
def test_unusable_pixels_are_explained(shape):
    config = MODELS["depth-anything-v2-small"].config
    with pytest.raises(ValueError, match=r"jax_depth\.preprocess"):
        check_size(shape, config)


def test_a_bare_encoder_predicts_no_depth():
    config = MODELS["dinov2-small"].config
    with pytest.raises(ValueError, match="bare encoder"):
        forward({}, np.zeros((1, 14, 14, 3), np.float32), config)
