"""Losses against another network, and the ordinal one: what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_depth.training import losses

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")


def tokens(seed: int, shape=(2, 3, 5, 7)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_alignment_is_one_minus_cosine_of_what_differs_enough():
    x, y = tokens(0), tokens(1)
    y[0] = 0.9 * x[0] + 0.1 * y[0]  # alike
    cosine = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
    kept = cosine <= 0.85
    assert kept.any() and not kept.all()
    function = jax.jit(jax.value_and_grad(losses.feature_alignment, (0, 1)))
    value, (gradient, of_reference) = function(x, y)
    np.testing.assert_allclose(value, np.where(kept, 1 - cosine, 0).mean(), rtol=1e-5)
    assert not gradient[~kept].any() and np.abs(gradient[kept]).sum(-1).all()
    assert not of_reference.any()
    assert float(losses.feature_alignment(x, 3 * x)) == 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_alignment_of_a_dead_token_is_finite(dtype):
    x, y = jnp.zeros((1, 4, 7), dtype), jnp.asarray(tokens(1, (1, 4, 7)), dtype)
    value, gradient = jax.value_and_grad(losses.feature_alignment)(x, y)
    np.testing.assert_allclose(value, 1.0)
    assert np.isfinite(gradient.astype(jnp.float32)).all()
    assert np.isfinite(losses.feature_alignment(y, x))


@pytest.fixture
def maps():
    generator = np.random.default_rng(0)
    pred, a, b = generator.uniform(1, 2, (3, 2, 12, 10)).astype(np.float32)
    mask = generator.random(pred.shape) < 0.8
    region = np.zeros(pred.shape, bool)
    region[:, 2:9, 3:8] = True
    return pred, a, b, region, mask


cutmix = jax.jit(losses.cutmix_consistency)


def test_each_part_of_a_mixed_picture_has_its_own_scale(maps):
    pred, a, b, region, mask = maps
    mixed = np.where(region, a, b)
    value = cutmix(pred, mixed, region, mask)
    # The teacher's scale on one picture is nothing to the other.
    moved = cutmix(pred, np.where(region, a, 9 * b - 4), region, mask)
    np.testing.assert_allclose(moved, value, rtol=2e-5)
    want = []
    for i in range(2):
        parts = [(mask & part)[i : i + 1] for part in (region, ~region)]
        each = [
            float(losses.affine_invariant(pred[i : i + 1], mixed[i : i + 1], part))
            for part in parts
        ]
        areas = [part.sum() for part in parts]
        want.append(np.average(each, weights=areas))
    np.testing.assert_allclose(value, np.mean(want), rtol=1e-5)


def test_a_picture_that_is_not_mixed_has_the_plain_loss(maps):
    pred, a, _, region, mask = maps
    plain = losses.affine_invariant(pred, a, mask)
    for whole in (np.ones_like(region), np.zeros_like(region)):
        np.testing.assert_allclose(cutmix(pred, a, whole, mask), plain, rtol=1e-6)


def test_ranking_of_two_pixels_in_closed_form():
    mask = np.zeros((1, 3, 4), bool)
    mask[0, 0, 1] = mask[0, 2, 3] = True
    pred, target = np.full((2, 1, 3, 4), np.nan, np.float32)
    pred[0, 0, 1], pred[0, 2, 3] = 1.5, 0.25
    target[0, 0, 1], target[0, 2, 3] = 2.0, 1.0
    key = jax.random.key(0)
    rank = jax.jit(losses.ordinal_ranking, static_argnames="pairs")
    got = float(rank(pred, target, mask, key, pairs=4000))
    # Half of the pairs are a pixel with itself, which cost nothing.
    np.testing.assert_allclose(got, np.log1p(np.exp(-1.25)) / 2, rtol=0.05)
    swapped = float(rank(-pred, target, mask, key, pairs=4000))
    np.testing.assert_allclose(
        swapped / got, np.log1p(np.exp(1.25)) / np.log1p(np.exp(-1.25)), rtol=1e-5
    )
    # Within the tolerance the two are called equal.
    target[0, 0, 1] = 1.02
    equal = float(rank(pred, target, mask, key, pairs=4000))
    np.testing.assert_allclose(equal, 1.25**2 / 2, rtol=0.05)
