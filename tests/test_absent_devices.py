"""A training step compiled for TPUs that are not there: exchanges, dtypes, memory.

Compiled for, not run on: nothing here says what a chip would compute, or how fast.
"""

import dataclasses
import importlib.util

import pytest
from benchmarks.absent_devices import absent_mesh, compile_forward, compile_train
from benchmarks.inspection import Inspection, inspect
from small_models import RELATIVE

from jax_depth.config import with_encoder
from jax_depth.training.overrides import override
from jax_depth.training.recipes import RECIPES

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="the compiler for TPUs is not installed: pip install 'jax_depth[aot]'",
)
needs_cuda = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None,
    reason="the compiler for GPUs is not installed: pip install jax-cuda12-plugin "
    "jax-cuda12-pjrt of jaxlib's version",
)


def compiled_facts(topology: str) -> Inspection:
    """Return what there is to say of the smoke recipe's step, fsdp over two."""
    mesh = absent_mesh(topology, fsdp=2)
    settings = [
        f"data.batch={mesh.size}",
        "run.fsdp=2",
        "run.shard_above=256",
        "model.dtype=bfloat16",
    ]
    return inspect(compile_train(override(RECIPES["smoke"], settings), mesh))


@needs_libtpu
@pytest.mark.parametrize("topology", ["v5e:2x2", "v6e:4x4"])
def test_a_training_step_compiles_for_a_slice(topology):
    facts = compiled_facts(topology)
    # Without held activations the partitioner moves them by the hundred.
    assert facts.collectives.get("all-to-all", 0) <= 4
    # Gradients of what is split over fsdp, and of the rest.
    assert facts.collectives["reduce-scatter"] >= 4
    assert facts.collectives["all-reduce"] >= 1
    products = facts.products
    # Most operands are bfloat16; what is float32 asks for the exact product, but for
    # gradients that arrive in float32 at a bfloat16 operand.
    assert products["bf16 x bf16"] > 0.7 * sum(products.values())
    assert set(products) <= {
        "bf16 x bf16",
        "bf16 x f32",
        "bf16 x f32 highest",
        "f32 x f32 highest",
    }
    assert facts.peak_bytes < 20 * 2**20


@needs_libtpu
def test_flash_attention_compiles_for_the_chips_of_a_host():
    config = dataclasses.replace(
        with_encoder(RELATIVE, attention="flash"), dtype="bfloat16"
    )
    compiled = compile_forward(config, absent_mesh("v5e:2x2"), batch=4, size=14 * 9)
    facts = inspect(compiled)
    # Each chip has pictures of its own.
    assert compiled.as_text().count("tpu_custom_call") >= config.encoder.depth
    assert not {"all-to-all", "all-gather"} & {*facts.collectives}


@needs_cuda
def test_a_training_step_compiles_for_a_host_of_gpus():
    facts = compiled_facts("h100:4")
    assert facts.collectives.get("all-to-all", 0) <= 4
    assert facts.collectives["all-reduce"] >= 1
    assert facts.collectives["all-gather"] >= 1
    # What a TPU multiplies as "bf16 x f32", gradients with a rounded operand, a GPU
    # does in float32, TF32 where that is allowed: more than a quarter of the products.
    assert facts.products["bf16 x bf16"] > 0.5 * sum(facts.products.values())
    assert set(facts.products) == {"bf16 x bf16", "f32 x f32", "f32 x f32 highest"}
    assert facts.peak_bytes < 20 * 2**20


def test_without_its_compiler_a_topology_says_what_to_install(monkeypatch):
    def absent(**_):
        raise RuntimeError("no plugin\nfor it")

    monkeypatch.setattr(
        "benchmarks.absent_devices.topologies.get_topology_desc", absent
    )
    with pytest.raises(ValueError, match=r"v6e:4x4 \(no plugin for it\); pip install"):
        absent_mesh("v6e:4x4")
