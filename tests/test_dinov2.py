"""The bare encoder, with and without registers, against transformers."""

import dataclasses

import jax
import numpy as np
import oracle
import pytest

import jax_depth_convert
from jax_depth.catalog import MODELS
from jax_depth.models.depth_anything import features


@pytest.mark.parametrize("size", [(1, 518, 518), (2, 224, 308), (2, 28, 14)], ids=str)
@pytest.mark.parametrize("name", ["dinov2-small", "dinov2-small-registers"])
def test_named_intermediates_equal_transformers(name, size):
    config = MODELS[name].config
    encoder = dataclasses.replace(config.encoder, depth=4, position_offset=0.0)
    config = dataclasses.replace(config, encoder=encoder)
    model = oracle.dinov2(config)
    params = jax_depth_convert.from_torch(oracle.state(model), config)
    assert set(params) == {"encoder"}

    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(*size, 3)).astype(np.float32)
    output = oracle.run(model, pixels)
    named = jax.jit(features, static_argnums=2)(params, pixels, config)
    b, h, w = size
    r = config.encoder.registers
    tokens = output.last_hidden_state.numpy()
    expected = {
        "embedding": output.hidden_states[0].numpy(),
        **{f"block_{i}": output.hidden_states[i + 1].numpy() for i in range(4)},
        "tokens": tokens,
        "cls": tokens[:, 0],
        "registers": tokens[:, 1 : 1 + r],
        "patches": tokens[:, 1 + r :].reshape(b, h // 14, w // 14, -1),
    }
    assert set(named) == set(expected)
    for stage, reference in expected.items():
        assert named[stage].shape == reference.shape
        if reference.size:
            error = np.abs(named[stage] - reference).max() / reference.std()
            assert error < 1e-4, stage
