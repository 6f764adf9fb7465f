"""Small models with every feature of the published ones, for conversion tests."""

import dataclasses

import numpy as np

from jax_depth.checkpoint import flatten, leaf_shapes, unflatten
from jax_depth.config import (
    EncoderConfig,
    HeadConfig,
    HybridConfig,
    ModelConfig,
    PromptHeadConfig,
)

HEAD = HeadConfig(features=16, channels=(8, 12, 16, 20), output_channels=8)
GELU = EncoderConfig(
    width=64,
    depth=4,
    heads=1,
    taps=(0, 1, 2, 3),
    mlp_hidden=256,
    position_grid=4,
    position_offset=0.0,
)
RELATIVE = ModelConfig("small-relative", GELU, HEAD)
# The giant's MLP: two thirds of four times the width, rounded up to a multiple of 8.
METRIC_SWIGLU = dataclasses.replace(
    RELATIVE,
    name="small-metric-swiglu",
    encoder=dataclasses.replace(GELU, mlp="swiglu", mlp_hidden=176),
    kind="metric_depth",
    max_depth=20.0,
)
PROMPT = ModelConfig(
    "small-prompt",
    GELU,
    PromptHeadConfig(features=16, channels=(8, 12, 16, 20), output_channels=8),
    kind="metric_depth",
)
ENCODER = ModelConfig(
    "small-encoder", dataclasses.replace(GELU, taps=()), None, kind="features"
)
REGISTERS = dataclasses.replace(
    ENCODER,
    name="small-registers",
    encoder=dataclasses.replace(ENCODER.encoder, registers=4, position_antialias=True),
)
HYBRID = ModelConfig(
    "hybrid",
    HybridConfig(
        width=24, depth=3, heads=3, taps=(0, 2), mlp_hidden=48, position_grid=5
    ),
    HeadConfig(8, (8, 8, 16, 16), ("keep", "keep", "keep", "down2"), 8),
)
# The transformer sees pictures beyond 32 pixels reduced.
REDUCED = dataclasses.replace(
    HYBRID,
    name="reduced",
    encoder=dataclasses.replace(HYBRID.encoder, coarse_size=32),
)
ALL = (RELATIVE, METRIC_SWIGLU, ENCODER, REGISTERS, PROMPT)


def random_params(config: ModelConfig, seed: int = 0, dtype="float32") -> dict:
    """Return parameters that all differ, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    return unflatten(
        {
            path: rng.standard_normal(leaf.shape).astype(dtype)
            for path, leaf in leaf_shapes(config).items()
        }
    )


def alive(config: ModelConfig) -> dict:
    """Return random parameters whose products keep the size of what enters."""
    leaves = flatten(random_params(config))
    for path, leaf in leaves.items():
        if path.endswith("kernel"):
            leaf /= np.sqrt(np.prod(leaf.shape[:-1]))
    return unflatten(leaves)


def assert_same(one, other) -> None:
    """Assert that two mappings hold the same keys and bit-equal arrays."""
    assert set(one) == set(other)
    for key in one:
        a, b = np.asarray(one[key]), np.asarray(other[key])
        assert (a.dtype, a.shape) == (b.dtype, b.shape), key
        assert a.tobytes() == b.tobytes(), key
