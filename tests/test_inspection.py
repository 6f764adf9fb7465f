"""What is read from compiled programs, and the estimate of a network's work."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.accelerators import topology_arguments
from benchmarks.inspection import inspect
from benchmarks.roofline import forward_work
from jax.sharding import Mesh, PartitionSpec

from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig


def test_exchanges_and_products_are_counted():
    mesh = Mesh(np.array(jax.devices()), ("x",))
    split = PartitionSpec("x")

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=split, out_specs=split)
    def program(x):
        y = jax.lax.psum(x, "x") @ x.T
        z = jax.lax.all_to_all(x, "x", 1, 0, tiled=True)
        z = jax.lax.ppermute(z, "x", [(i, i ^ 1) for i in range(8)])
        return y, z

    x = jax.ShapeDtypeStruct((64, 8), jnp.float32)
    facts = inspect(jax.jit(program).lower(x).compile())
    names = ("all-reduce", "all-to-all", "collective-permute")
    assert facts.collectives == dict.fromkeys(names, 1)
    assert facts.products == {"f32 x f32": 1}
    assert facts.peak_bytes > 0


@pytest.mark.parametrize("name", ["v5e", "v5e:4", "v9:2x2", "h100:2x2", "v5e:0x2"])
def test_a_name_that_is_no_topology_says_what_is(name):
    with pytest.raises(ValueError, match="such as v5e:2x2"):
        topology_arguments(name)


def test_logits_are_the_difference_that_flash_attention_makes():
    encoder = EncoderConfig(
        32, 2, 2, (0, 0, 1, 1), mlp_hidden=64, position_grid=4, attention="one_pass"
    )
    config = ModelConfig("small", encoder, HeadConfig(8, (8, 8, 8, 8)))
    flash = dataclasses.replace(encoder, attention="flash")
    size, batch = (126, 196), 2
    plain = forward_work(config, batch, size)
    kept = forward_work(dataclasses.replace(config, encoder=flash), batch, size)
    assert plain.flops == kept.flops
    # Written once and read once, float32: 2 layers, 2 heads, 127 tokens.
    logits = 2 * 2 * 2 * 127**2 * 4
    # 2 layers, 2 heads: q, k, v and the result are of 128 tokens and, with the channel
    # that keeps padding out, of 128 lanes, where 127 tokens of 16 channels were.
    kernel = 2 * 2 * 4 * (128 * 128 - 127 * 16) * 4
    assert plain.bytes - kept.bytes == logits - kernel
