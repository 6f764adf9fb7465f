"""Training step: what learns, what stays, what is skipped, and resuming."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig
from jax_depth.models.initialize import init
from jax_depth.training import losses
from jax_depth.training.objectives import gauge, objective
from jax_depth.training.optimizer import adamw, schedule
from jax_depth.training.recipe import LossSettings
from jax_depth.training.step import Batch, init_state, make_step

CONFIG = ModelConfig(
    name="small",
    encoder=EncoderConfig(
        width=12, depth=1, heads=2, taps=(0, 0, 0, 0), mlp_hidden=16, position_grid=2
    ),
    head=HeadConfig(4, (4, 4, 4, 4), output_channels=4),
)
FROZEN = ("encoder/patch_embed",)
OPTIMIZER = adamw(3e-3)
SETTINGS = LossSettings("affine_invariant", trim=0.1, gradient=0.5)
LOSS = objective(SETTINGS, CONFIG, ("labelled",))

pytestmark = pytest.mark.usefixtures("cheap_programs")


@pytest.fixture(scope="module")
def step():
    return make_step(CONFIG, OPTIMIZER, LOSS, decay=0.5)


@pytest.fixture
def state():
    return init_state(init(CONFIG, jax.random.key(0)), OPTIMIZER, FROZEN)


def make_batch(seed: int) -> Batch:
    generator = np.random.default_rng(seed)
    rgb = generator.integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    target = rgb.mean(-1, dtype=np.float32) / 255 + np.linspace(0, 1, 28, dtype="f4")
    return Batch(rgb, target, np.ones(target.shape, bool), np.zeros(2, bool))


def host(tree):
    """Copy to the host: the step donates its state."""
    return jax.tree.map(np.array, tree)


def test_learning_lowers_the_loss_and_leaves_the_frozen_alone(step, state):
    start, values = host(state), []
    for i in range(40):
        state, metrics = step(state, make_batch(i % 2))
        values.append(float(metrics["loss"]))
    assert np.mean(values[-4:]) < 0.8 * np.mean(values[:4])
    assert int(state.step) == 40
    for name, value in start.frozen.items():
        np.testing.assert_array_equal(state.frozen[name], value)
        assert name.startswith("encoder/patch_embed/")
    still = [k for k, v in start.trained.items() if np.array_equal(state.trained[k], v)]
    # What the forward pass never reads gets only weight decay, which spares biases
    # and zeros.
    unused = {"encoder/mask_token", "encoder/cls_token"}
    assert all(k in unused or "refinenet_4/rcu1" in k for k in still), still


def test_frozen_parameters_have_no_optimizer_state(state):
    names = {
        jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(state.optimizer)
    }
    assert any("patch_embed" not in n and "output_conv1" in n for n in names)
    assert not any("patch_embed" in n for n in names)


def test_the_average_is_that_of_the_trained_parameters(step, state):
    average = host(state.trained)
    for t in range(3):
        state, _ = step(state, make_batch(t))
        decay = min(0.5, (1 + t) / (10 + t))
        average = jax.tree.map(
            lambda a, b, d=decay: d * a + (1 - d) * b, average, host(state.trained)
        )
    for name, value in average.items():
        np.testing.assert_allclose(state.average[name], value, rtol=2e-6, atol=1e-9)
    params = state.params()
    np.testing.assert_array_equal(
        params["head"]["output_conv1"]["kernel"],
        state.average["head/output_conv1/kernel"],
    )
    np.testing.assert_array_equal(
        state.params(averaged=False)["head"]["output_conv1"]["kernel"],
        state.trained["head/output_conv1/kernel"],
    )


@pytest.mark.long
def test_a_step_that_is_not_finite_changes_nothing(state):
    def loss(raw, batch):
        value, parts = LOSS(raw, batch)
        return value * batch.target[0, 0, 0], parts

    step = make_step(CONFIG, OPTIMIZER, loss)
    before = host(state)
    bad = make_batch(0)
    bad.target[0, 0, 0] = np.inf
    state, _ = step(state, bad)
    for name, value in before.trained.items():
        np.testing.assert_array_equal(state.trained[name], value)
    assert int(state.step) == 1
    assert int(state.optimizer.total_notfinite) == 1
    state, _ = step(state, make_batch(0))
    name = "head/output_conv1/kernel"
    assert not np.array_equal(state.trained[name], before.trained[name])


def test_resuming_from_a_copy_gives_the_same_run(step, state):
    state, _ = step(state, make_batch(0))
    saved = host(state)
    first, _ = step(state, make_batch(1))
    second, _ = step(jax.tree.map(jnp.asarray, saved), make_batch(1))
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_recipes_loss_is_the_two_published_ones():
    batch = make_batch(3)
    target = jnp.asarray(batch.target)
    raw = jnp.flip(target, 1) * 3 + 2
    mask = jnp.asarray(batch.mask).at[0, :3].set(False)
    ssi = losses.affine_invariant(raw, target, mask, trim=0.1)
    maps = losses.normalize(raw, mask), losses.normalize(target, mask)
    want = ssi + 0.5 * losses.gradient_matching(*maps, mask)
    got, parts = LOSS(raw, Batch(batch.rgb, target, mask, batch.pseudo))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(parts["labelled/affine_invariant"], ssi, rtol=1e-6)
    # An image whose target is flat is left out of both.
    flat = target.at[1].set(0.25)
    got, _ = LOSS(raw, Batch(batch.rgb, flat, mask, batch.pseudo))
    first = Batch(batch.rgb[:1], flat[:1], mask[:1], batch.pseudo[:1])
    alone, _ = LOSS(raw[:1], first)
    np.testing.assert_allclose(got, alone, rtol=1e-6)


def test_the_gauge_wants_spread_one_and_zero_at_infinity():
    target = np.full((1, 20, 20), 0.5, np.float32)
    target[0, :8], target[0, 12:] = 0.0, 2.0  # sky, middle, near
    mask = np.ones(target.shape, bool)
    t, s = (float(x[0]) for x in losses.median_and_spread(target, mask))
    assert (t, s) == (0.5, pytest.approx(0.8))
    # At spread 1 with the sky at 0 nothing is left to want, up to the 1e-3 in the log.
    np.testing.assert_allclose(gauge(target / s, target, mask), 0, atol=1e-5)
    moved = gauge(target / s + 2.0, target, mask)
    np.testing.assert_allclose(moved, 2.0, rtol=1e-4)
    stretched = gauge(np.e * target / s, target, mask)
    np.testing.assert_allclose(stretched, 1.0, rtol=2e-3)
    np.testing.assert_array_equal(gauge(target, target, ~mask), 0)


def test_a_state_of_which_nothing_learns_is_refused():
    with pytest.raises(ValueError, match=r"model.frozen=encoder, head .*leave one out"):
        init_state(
            {"encoder": {"a": 1}, "head": {"a": 1}}, OPTIMIZER, ("encoder", "head")
        )


def test_an_unknown_prefix_is_refused():
    with pytest.raises(ValueError, match="'encoder/stem', so none is frozen"):
        init_state(init(CONFIG, jax.random.key(0)), OPTIMIZER, ("encoder/stem",))


def test_schedules_rise_hold_and_fall():
    rate = schedule(2.0, steps=100, warmup=10, cooldown=20)
    got = [float(rate(t)) for t in (0, 5, 10, 79, 80, 90, 100)]
    np.testing.assert_allclose(got, [0, 1, 2, 2, 2, 1, 0], atol=1e-6)
    rate = schedule(2.0, steps=100, warmup=10, kind="cosine")
    got = [float(rate(t)) for t in (5, 10, 55, 100)]
    np.testing.assert_allclose(got, [1, 2, 1, 0], atol=1e-6)
    assert float(schedule(2.0, steps=100)(1000)) == 2
    with pytest.raises(ValueError, match="longer than the run"):
        schedule(1.0, steps=10, warmup=6, cooldown=6)
