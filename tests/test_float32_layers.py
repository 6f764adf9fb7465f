"""Which layers stay float32 under bfloat16, told by the network instead of a list.

`rounded_kernels` rounds every kernel but those that `models/architectures.py` lists. A
new float32 layer that is missing there would lose its digits without a word, so every
architecture runs with all other kernels rounded: the output keeps its bits exactly
where the network rounds a kernel anyway, and loses them for each kernel of the list.
"""

import dataclasses

import depth_anything_3_oracle as oracle
import jax
import ml_dtypes
import numpy as np
import pytest
import small_models
import test_hybrid
import test_temporal

import jax_depth
from jax_depth.checkpoint import flatten, leaf_shapes, unflatten
from jax_depth.models.architectures import ENCODERS, NETWORKS, network_row
from jax_depth.weights import rounded_kernels


def _shallow(config, **encoder):
    """Return a toy of two blocks: more of them only take longer to compile."""
    encoder = dataclasses.replace(config.encoder, depth=2, taps=(0, 0, 1, 1), **encoder)
    return dataclasses.replace(config, encoder=encoder, dtype="bfloat16")


CONFIGS = {
    config.name: dataclasses.replace(config, dtype="bfloat16")
    for config in (
        _shallow(small_models.METRIC_SWIGLU),
        _shallow(small_models.PROMPT),
        test_hybrid.CONFIG,
        test_temporal.TOY,
        _shallow(oracle.MONO),
        _shallow(oracle.ODD_START, start=1),
    )
}

pytestmark = pytest.mark.usefixtures("cheap_programs")


def _params(config) -> dict[tuple[str, ...], np.ndarray]:
    """Return parameters by path that keep activations of order one, none of them 0."""
    rng = np.random.default_rng(0)
    drawn = {}
    for path, leaf in leaf_shapes(config).items():
        x = rng.standard_normal(leaf.shape)
        fan = np.prod(leaf.shape[:-1]) if path.endswith("kernel") else 25
        drawn[path] = (x / np.sqrt(fan)).astype(np.float32)
        if path.endswith(("scale", "gamma", "output_conv3/bias")):
            drawn[path] += 1
    return drawn


def _run(config):
    """Return parameters -> bytes of everything that a network returns."""
    row = network_row(config)
    rng = np.random.default_rng(1)
    axis = (1,) if row.axis is None else (1, 2)
    patch = config.encoder.patch_size
    pixels = rng.standard_normal((*axis, 2 * patch, 3 * patch, 3)).astype(np.float32)
    given = {}
    if "prompt" in row.takes:
        given["prompt"] = rng.uniform(1, 4, (1, 6, 9)).astype(np.float32)
    if "extrinsics" in row.takes:
        moved = np.broadcast_to(np.eye(4, dtype=np.float32), (1, 2, 4, 4)).copy()
        moved[0, 1, :3, 3] = 0.1, 0.2, 0.3
        lens = np.array([[30, 0, 21], [0, 30, 14], [0, 0, 1]], np.float32)
        given["extrinsics"] = moved
        given["intrinsics"] = np.broadcast_to(lens, (1, 2, 3, 3))

    @jax.jit
    def apply(params):
        # Cameras given go in, cameras not given come out.
        outputs = [jax_depth.apply(params, pixels, config, **given)]
        if "extrinsics" in given:
            outputs.append(jax_depth.apply(params, pixels, config))
        return outputs

    def run(flat) -> bytes:
        leaves = jax.tree.leaves(apply(unflatten(flat)))
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)

    return run


def test_every_architecture_is_here():
    configs = CONFIGS.values()
    assert {type(config.encoder) for config in configs} == set(ENCODERS)
    heads = {type(config.head) for config in configs}
    assert heads == set(NETWORKS) - {type(None)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_the_kernels_left_alone_are_those_computed_in_float32(name):
    config = CONFIGS[name]
    params = _params(config)
    kept = {
        path
        for path, leaf in flatten(rounded_kernels(unflatten(params), config)).items()
        if leaf.dtype == np.float32
    }
    kernels = {path for path in params if path.endswith("kernel")}
    listed, rounded = kept & kernels, kernels - kept
    assert listed and rounded
    run = _run(config)
    bits = run(params)
    assert run(params | {path: _rounded(params[path]) for path in rounded}) == bits
    for path in listed:
        assert run(params | {path: _rounded(params[path])}) != bits, path


def _rounded(kernel: np.ndarray) -> np.ndarray:
    return kernel.astype(ml_dtypes.bfloat16).astype(np.float32)


def test_the_second_network_of_a_file_follows_its_own_list():
    metric = CONFIGS["toy-mono"]
    config = dataclasses.replace(CONFIGS["toy-giant"], metric=metric)
    params = unflatten(_params(config))
    of_both = flatten(rounded_kernels(params, config)["metric"])
    alone = flatten(rounded_kernels(params["metric"], metric))
    assert {path: leaf.dtype for path, leaf in of_both.items()} == {
        path: leaf.dtype for path, leaf in alone.items()
    }
