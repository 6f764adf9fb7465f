"""What a recipe minimises: terms by name, keys, regions; and how CutMix pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_depth.config import EncoderConfig, HeadConfig, ModelConfig
from jax_depth.training import losses, overrides
from jax_depth.training.losses import Term
from jax_depth.training.objectives import cutmix, objective
from jax_depth.training.recipe import LossSettings
from jax_depth.training.recipes import RECIPES
from jax_depth.training.step import Batch, make_step

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

CONFIG = ModelConfig(
    "small",
    EncoderConfig(width=8, depth=1, heads=2, taps=(0, 0, 0, 0), mlp_hidden=8),
    HeadConfig(4, (4, 4, 4, 4), output_channels=4),
)


def mean_difference(pred, target, mask, power: float = 1.0):
    """A loss of one's own."""
    return jnp.where(mask, jnp.abs(pred - target) ** power, 0.0).mean()


def draws_of(pred, target, mask, key):
    return jax.random.uniform(key, (), jnp.float32)


def batch(rows: int = 2, size: int = 16) -> tuple[jax.Array, Batch]:
    generator = np.random.default_rng(5)
    shape = (rows, size, size)
    raw, target = generator.uniform(0.5, 2, (2, *shape)).astype(np.float32)
    rgb = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    pseudo = jnp.zeros(rows, bool)
    mask = jnp.ones(shape, bool)
    return jnp.asarray(raw), Batch(rgb, jnp.asarray(target), mask, pseudo)


@pytest.mark.parametrize("position", range(3))
def test_cutmix_happens_as_often_as_it_says_wherever_labelled_pictures_are(position):
    # As the loader interleaves 1 : 2.
    pseudo = jnp.arange(96) % 3 != position
    _, given = batch(96, 4)
    rgb = jnp.broadcast_to(
        jnp.arange(96, dtype=jnp.uint8)[:, None, None, None], given.rgb.shape
    )
    given = Batch(rgb, given.target, given.mask, pseudo)
    mix = jax.jit(lambda key: cutmix(given, 0.5, key))
    pasted, partners = np.zeros(96), [set() for _ in range(96)]
    # Boxes so small that no pixel's centre is inside are seen as not pasted.
    for step in range(200):
        mixed = mix(jax.random.key(step))
        inside = ~np.asarray(mixed.region)
        pasted += inside.any((1, 2))
        for row in np.nonzero(inside.any((1, 2)))[0]:
            partners[row] |= set(np.asarray(mixed.rgb)[row][inside[row]].ravel())
    own = np.asarray(pseudo)
    assert not pasted[~own].any()
    # 1 - lambda uniform: a box under a 4 x 4 picture's pixel is missed now and then.
    assert 0.42 < pasted[own].mean() / 200 < 0.5
    # No row is favoured, and none always takes from the same one.
    assert pasted[own].min() > 0.3 * 200
    for row in np.nonzero(own)[0]:
        assert row not in partners[row] and len(partners[row]) > 30
        assert own[list(partners[row])].all()


def test_a_single_pseudo_labelled_picture_is_not_pasted_into_itself():
    _, given = batch()
    given = Batch(given.rgb, given.target, given.mask, jnp.asarray([False, True]))
    mix = jax.jit(lambda key: cutmix(given, 1.0, key).region)
    for step in range(20):
        assert mix(jax.random.key(step)).all()


def test_terms_get_another_key_at_every_step(monkeypatch):
    monkeypatch.setattr(
        "jax_depth.training.step.raw_and_features",
        lambda params, pixels, config: (params["w"] * jnp.ones((2, 16, 16)), {}),
    )
    import optax

    settings = LossSettings(gradient=0.0, terms=(Term(draws_of),))
    loss = objective(settings, CONFIG, ("labelled",))
    optimizer = optax.apply_if_finite(optax.sgd(0.0), 3)
    from jax_depth.training.step import init_state

    drawn = {}
    for seed in (0, 0, 1):
        step = make_step(CONFIG, optimizer, loss, seed=seed)
        state, values = init_state({"w": jnp.ones(())}, optimizer), []
        for _ in range(4):
            state, metrics = step(state, batch()[1])
            values.append(float(metrics["labelled/draws_of"]))
        assert len(set(values)) == 4
        assert drawn.setdefault(seed, values) == values
    assert not set(drawn[0]) & set(drawn[1])


def test_the_ordinal_term_draws_other_pixels_with_another_key():
    settings = LossSettings(gradient=0.0, ordinal=0.5)
    total = jax.jit(objective(settings, CONFIG, ("labelled",)))
    values = [
        float(total(*batch(), jax.random.key(i))[1]["labelled/ordinal"])
        for i in (0, 1, 0)
    ]
    assert values[0] == values[2] != values[1]


def test_gradients_are_aligned_as_the_main_term_is():
    raw, given = batch()
    total = objective(
        LossSettings("least_squares", gradient=2.0), CONFIG, ("labelled",)
    )
    _, parts = total(raw, given)
    scale, shift = losses.fit_least_squares(raw, given.target, given.mask)
    fitted = scale[:, None, None] * raw + shift[:, None, None]
    want = 2 * losses.gradient_matching(fitted, given.target, given.mask)
    np.testing.assert_allclose(parts["labelled/gradient"], want, rtol=1e-6)


@pytest.mark.parametrize("main", ["affine_invariant", "trimmed", "least_squares"])
def test_parts_of_a_mixed_picture_are_scaled_apart_by_every_main_term(main):
    raw, given = batch()
    region = jnp.zeros(given.mask.shape, bool).at[:, 3:11, 2:9].set(True)
    pseudo = jnp.ones(2, bool)
    settings = LossSettings(main, gradient=1.0, cutmix=0.5)
    total = jax.jit(objective(settings, CONFIG, ("pseudo",)))
    values = []
    for target in (given.target, jnp.where(region, given.target, given.target - 0.3)):
        mixed = Batch(given.rgb, target, given.mask, pseudo, region)
        values.append(float(total(raw, mixed)[0]))
    np.testing.assert_allclose(values[1], values[0], rtol=2e-5)


def test_a_loss_of_ones_own_stands_where_a_registered_one_does():
    raw, given = batch()
    own = (Term(mean_difference, 0.25, {"power": 2.0}),)
    settings = LossSettings(gradient=0.0, terms=own)
    _, parts = objective(settings, CONFIG, ("labelled",))(raw, given)
    want = 0.25 * np.square(np.asarray(raw) - np.asarray(given.target)).mean()
    np.testing.assert_allclose(parts["labelled/mean_difference"], want, rtol=1e-6)
    # It comes back from a saved recipe by where it is defined.
    text = f"{__name__}:mean_difference"
    recipe = overrides.override(
        RECIPES["smoke"], [f"loss.terms=[('{text}', 0.25, {{'power': 2.0}})]"]
    )
    assert recipe.loss.terms == own
    again = overrides.from_json(overrides.to_json(recipe))
    assert again == recipe
    assert again.loss.terms[0].function("inverse_depth")(
        raw, given.target, given.mask
    ) == pytest.approx(want * 4, rel=1e-6)


def test_a_registered_loss_is_listed_by_name_alone():
    recipe = overrides.override(RECIPES["smoke"], ["loss.terms=ordinal"])
    assert recipe.loss.terms == (Term("ordinal"),)
    one = overrides.override(RECIPES["smoke"], ["loss.terms=('ordinal', 0.5)"])
    assert one.loss.terms == (Term("ordinal", 0.5),)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("ordinl", "no loss is called 'ordinl'; there are affine_invariant, "),
        ("silog", "'silog' is for models of metric_depth, this one gives inverse"),
        ("('ordinal', 1, {'pair': 3})", "no option 'pair'; it has: pairs, tolerance"),
        ("(3, 1)", r"\(3, 1\) .*; write a name or"),
    ],
)
def test_a_term_that_cannot_be_is_explained(terms, message):
    with pytest.raises(ValueError, match=message):
        overrides.override(RECIPES["smoke"], [f"loss.terms={terms}"])
