"""Low-rank adaptation: what learns, what stays, and what a run leaves."""

import jax
import numpy as np
import pytest
from test_training_step import CONFIG, LOSS, host, make_batch
from training_run import run

import jax_depth
from jax_depth import checkpoint
from jax_depth.models.initialize import init
from jax_depth.training import adapters
from jax_depth.training.optimizer import adamw
from jax_depth.training.step import init_state, make_step

RANK = 2

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture
def leaves():
    return checkpoint.flatten(init(CONFIG, jax.random.key(0)))


def test_every_matrix_of_a_block_has_factors_that_add_nothing_at_first(leaves):
    found = adapters.factors(leaves, RANK, jax.random.key(1))
    bases = {"attn/qkv", "attn/proj", "mlp/fc1", "mlp/fc2"}
    names = {f"encoder/block_0/{b}/lora_{f}" for b in bases for f in "ab"}
    assert set(found) == names
    assert found["encoder/block_0/attn/qkv/lora_a"].shape == (12, RANK)
    assert found["encoder/block_0/attn/qkv/lora_b"].shape == (RANK, 36)
    merged = adapters.merge(leaves | found)
    assert merged.keys() == leaves.keys()
    for name, leaf in leaves.items():
        np.testing.assert_array_equal(merged[name], leaf)


def test_the_encoder_moves_by_products_of_that_rank_alone(leaves):
    found = adapters.factors(leaves, RANK, jax.random.key(1))
    optimizer = adamw(1e-2)
    state = init_state(checkpoint.unflatten(leaves | found), optimizer, ("encoder",))
    assert all(k.startswith("head/") or adapters.is_adapter(k) for k in state.trained)
    before = host(leaves)
    step = make_step(CONFIG, optimizer, LOSS, decay=0.0)
    for i in range(3):
        state, metrics = step(state, make_batch(i))
    assert np.isfinite(metrics["loss"])
    after = checkpoint.flatten(host(state.params()))
    assert after.keys() == before.keys()
    moved = {k: after[k] - v for k, v in before.items() if (after[k] != v).any()}
    for name, change in moved.items():
        if name.startswith("encoder/"):
            assert name.removesuffix("/kernel") + "/lora_a" in found
            values = np.linalg.svd(change, compute_uv=False)
            assert values[RANK - 1] > 1e-6 and values[RANK] < 1e-6 * values[0]
    assert len([k for k in moved if k.startswith("encoder/")]) == len(found) // 2


@pytest.mark.parametrize("rank", [-1, 13])
def test_a_rank_that_cannot_be_is_refused(leaves, rank):
    with pytest.raises(ValueError, match=f"lora_rank={rank} must be between 1 and 12"):
        adapters.factors(leaves, rank, jax.random.key(0))


@pytest.mark.long
def test_a_run_leaves_an_ordinary_model_and_goes_on(tmp_path):
    settings = ("model.lora_rank=2", "run.steps=2", "run.save_every=2")
    run(tmp_path, *settings)
    params = jax_depth.load(str(tmp_path)).params
    assert not [k for k in checkpoint.flatten(params) if adapters.is_adapter(k)]
    assert run(tmp_path, *settings, "run.steps=3").steps == 3
    with pytest.raises(ValueError, match=r"a run with model\.lora_rank=2, not 0"):
        run(tmp_path)
