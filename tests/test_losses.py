"""Training losses: published definitions in closed form, invariances, hard cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_scene import golden_scene

from jax_depth.training import losses
from jax_depth.training.losses.output_gauge import mean_gauge
from jax_depth.training.losses.statistics import masked_median, smallest

pytestmark = pytest.mark.usefixtures("cheap_programs")


def _trimmed(pred, target, mask):
    return losses.affine_invariant(pred, target, mask, trim=0.1)


def _gradient(pred, target, mask):
    maps = losses.normalize(pred, mask), losses.normalize(target, mask)
    return losses.gradient_matching(*maps, mask)


def _cutmix(pred, target, mask):
    region = (jnp.arange(pred.shape[2]) < 9)[None, None] & jnp.ones_like(mask)
    return losses.cutmix_consistency(pred, target, region, mask)


def _ordinal(pred, target, mask):
    return losses.ordinal_ranking(pred, target, mask, jax.random.key(3), pairs=400)


FUNCTIONS = {
    "affine_invariant": _trimmed,
    "trimmed": losses.trimmed,
    "least_squares": losses.least_squares,
    "gradient_matching": _gradient,
    "silog": losses.silog,
    "log_gradient": losses.log_gradient,
    "cutmix_consistency": _cutmix,
    "ordinal_ranking": _ordinal,
}
TOTAL = {name: jax.jit(f) for name, f in FUNCTIONS.items()}
WITH_GRADIENT = {name: jax.jit(jax.value_and_grad(f)) for name, f in FUNCTIONS.items()}
# Those that leave scale and shift of the prediction and of the target free.
RELATIVE = ("affine_invariant", "trimmed", "gradient_matching", "cutmix_consistency")
affine_invariant = jax.jit(losses.affine_invariant, static_argnames="trim")
gradient_matching = jax.jit(losses.gradient_matching, static_argnames="scales")
normalize = jax.jit(losses.normalize)


def batch(*maps):
    return [
        jnp.asarray(x[None], bool if x.dtype == bool else jnp.float32) for x in maps
    ]


@pytest.fixture
def relative():
    """Prediction, target disparity, mask; one image."""
    depth, wrong, mask = golden_scene()
    return batch(50 / wrong + 20, 1 / depth, mask)


# Values by NumPy in float64 from the papers' formulas: everything valid, masked.
GOLDEN = {
    "whole": (0.2233578937, 0.2241269428),
    "kept 90 %": (0.1915691505, 0.1921977396),
    "gradient": (1.7912930591, 1.5886869406),
}


@pytest.mark.parametrize("masked", [False, True])
def test_values_are_those_of_the_papers(relative, masked):
    pred, target, mask = relative
    mask = mask if masked else jnp.ones_like(mask)
    got = {
        "whole": affine_invariant(pred, target, mask),
        "kept 90 %": affine_invariant(pred, target, mask, trim=0.1),
        "gradient": TOTAL["gradient_matching"](pred, target, mask),
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, GOLDEN[name][masked], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(("masked", "want"), [(0, 0.0676177193), (1, 0.0678199173)])
def test_trimming_drops_the_largest_fifth_as_midas_writes_it(relative, masked, want):
    pred, target, mask = relative
    mask = mask if masked else jnp.ones_like(mask)
    np.testing.assert_allclose(TOTAL["trimmed"](pred, target, mask), want, rtol=1e-5)


def test_a_median_is_found_though_xla_computes_the_values_anew():
    # Without its expensive passes XLA fuses the product and the sum in one use alone.
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 8, 33, 47)).astype(np.float32)
    mask = rng.random((8, 33, 47)) < 0.8

    @jax.jit
    def median(a, b, c, mask):
        return masked_median(a * b + c, mask)

    a, b, c = factors.astype(np.float64)
    want = [np.median(x[m]) for x, m in zip(a * b + c, mask, strict=True)]
    np.testing.assert_allclose(median(*factors, mask), want, rtol=0, atol=1e-6)


def test_trimming_keeps_no_pixel_too_many():
    # So many residuals that some lie within 4e-6 of the threshold.
    rng = np.random.default_rng(0)
    residual = rng.random((16, 160, 160)).astype(np.float32)
    mask = rng.random(residual.shape) < 0.9
    kept = jax.jit(smallest, static_argnums=2)(residual, mask, 0.1).sum((1, 2))
    np.testing.assert_array_equal(kept, np.floor(0.9 * mask.sum((1, 2))))


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_least_squares_is_numpys_in_float64(relative, offset):
    pred, target, mask = relative
    keep = np.asarray(mask)
    x, y = np.float64(pred)[keep] + offset, np.float64(target)[keep]
    want, residual, *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y)
    scale, shift = losses.fit_least_squares(pred + offset, target, mask)
    np.testing.assert_allclose([scale[0], shift[0]], want, rtol=1e-5)
    if not offset:
        np.testing.assert_allclose(want, [0.0192162559, -0.3689531690], rtol=1e-8)
    got = TOTAL["least_squares"](pred + offset, target, mask)
    np.testing.assert_allclose(got, residual[0] / (2 * x.size), rtol=1e-5)


@pytest.mark.parametrize(
    ("scale", "want"), [(0, 0.1941161807), (3, 1.5886869406 - 1.1281885714)]
)
def test_gradient_matching_sums_its_scales(relative, scale, want):
    pred, target, mask = relative
    maps = normalize(pred, mask), normalize(target, mask)
    up_to = gradient_matching(*maps, mask, scales=scale + 1)
    below = gradient_matching(*maps, mask, scales=scale)
    np.testing.assert_allclose(up_to - below, want, rtol=2e-5)


def test_normalize_divides_by_the_mean_deviation_from_the_median(relative):
    pred, _, mask = relative
    t, s = 40.4449013119, 6.2669417323
    want = np.where(mask, (pred - t) / s, 0)
    np.testing.assert_allclose(normalize(pred, mask), want, atol=2e-6)


def test_silog_value_and_focus():
    depth, wrong, mask = golden_scene()
    pred, target, mask = batch(wrong, depth, mask)
    np.testing.assert_allclose(losses.silog(pred, target, mask), 0.070876223, rtol=1e-5)
    g = np.full((1, 4, 5), 2.0, np.float32)
    full = np.ones(g.shape, bool)
    for focus in (0.0, 0.5, 0.85):
        got = losses.silog(g, 3 * g, full, variance_focus=focus)
        np.testing.assert_allclose(got, np.log(3) * np.sqrt(1 - focus), rtol=1e-5)
    assert float(losses.silog(g, 3 * g, full, variance_focus=1.0)) < 1e-3


def test_silog_ends_where_rounding_begins():
    ones, full = np.ones((1, 4, 5), np.float32), np.ones((1, 4, 5), bool)
    small = losses.silog(ones, 1.0001 * ones, full, variance_focus=0.0)
    np.testing.assert_allclose(small, 1e-4, rtol=1e-2)
    rounding = np.nextafter(ones, 2 * ones)
    assert losses.silog(ones, rounding, full, variance_focus=0.0) == 0


def test_the_mean_gauge_is_of_the_images_that_can_be_judged():
    ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    target = np.stack([ramp, ramp, np.full_like(ramp, 0.5)])  # the last is flat
    pred = np.stack([2 * ramp, 8 * ramp + 1, 50 * ramp])
    full = np.ones(pred.shape, bool)
    each = np.asarray(jax.jit(losses.gauge)(pred, target, full))
    assert min(each) > 0.1 and each[0] != pytest.approx(each[1])
    mean = jax.jit(mean_gauge)
    for known, want in (
        ((1, 0, 0), each[0]),
        ((1, 1, 1), each[:2].mean()),
        ((0, 0, 1), 0),
    ):
        mask = full & np.array(known, bool)[:, None, None]
        np.testing.assert_allclose(mean(pred, target, mask), want, rtol=1e-6)


@pytest.mark.parametrize("name", RELATIVE)
def test_scale_and_shift_are_free_but_the_sign_is_not(relative, name):
    pred, target, mask = relative
    loss = TOTAL[name]
    value = loss(pred, target, mask)
    np.testing.assert_allclose(loss(3 * pred - 70, target, mask), value, rtol=2e-4)
    np.testing.assert_allclose(loss(pred, 0.2 * target + 5, mask), value, rtol=2e-4)
    np.testing.assert_allclose(loss(2 * target + 7, target, mask), 0, atol=2e-4)
    assert float(loss(-pred, target, mask)) > 2 * float(value)


@pytest.mark.parametrize("name", TOTAL)
def test_what_is_under_the_mask_never_matters(relative, name):
    pred, target, mask = relative
    function = WITH_GRADIENT[name]
    clean_value, clean_gradient = function(pred, target, mask)
    for bad in (jnp.nan, jnp.inf, -jnp.inf, 0.0):
        value, gradient = function(
            jnp.where(mask, pred, bad), jnp.where(mask, target, bad), mask
        )
        np.testing.assert_array_equal(value, clean_value)
        np.testing.assert_array_equal(gradient, clean_gradient)
    assert not gradient[~np.asarray(mask)].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", TOTAL)
def test_an_empty_image_weighs_nothing(relative, name):
    alone = TOTAL[name](*relative)
    pair = [jnp.concatenate([x, x]) for x in relative]
    pair[2] = pair[2].at[1].set(False)
    np.testing.assert_allclose(TOTAL[name](*pair), alone, rtol=1e-6)
    assert not WITH_GRADIENT[name](*pair)[1][1].any()


def hard_cases():
    pred = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (2, 16, 16)), jnp.float32)
    target, mask = jnp.flip(pred, 1), jnp.ones(pred.shape, bool)
    single = jnp.zeros_like(mask).at[0, 3, 4].set(True)
    return {
        "empty mask": (pred, target, ~mask),
        "one valid pixel": (pred, target, single),
        "constant target": (pred, jnp.ones_like(target), mask),
        "constant prediction": (jnp.full_like(pred, 3.0), target, mask),
        "zero prediction": (jnp.zeros_like(pred), target, mask),
        "perfect prediction": (target, target, mask),
        "bfloat16": (pred.astype(jnp.bfloat16), target.astype(jnp.bfloat16), mask),
    }


@pytest.mark.parametrize("case", hard_cases())
@pytest.mark.parametrize("name", TOTAL)
def test_values_and_gradients_stay_finite(name, case):
    arguments = hard_cases()[case]
    value, gradient = WITH_GRADIENT[name](*arguments)
    assert value.dtype == jnp.float32 and gradient.dtype == arguments[0].dtype
    assert np.isfinite(value)
    assert np.isfinite(gradient.astype(jnp.float32)).all()
    if case == "empty mask":
        assert value == 0 and not gradient.any()
    if case == "perfect prediction" and name != "ordinal_ranking":
        assert value < 1e-6


def test_a_nearly_constant_prediction_has_a_bounded_gradient():
    # Divided by its own spread, 1e-6, the gradient would be in the hundreds.
    _, target, mask = hard_cases()["constant prediction"]
    noise = jnp.asarray(np.random.default_rng(1).normal(size=target.shape), jnp.float32)
    _, gradient = WITH_GRADIENT["affine_invariant"](3 + 1e-6 * noise, target, mask)
    assert 0 < float(jnp.abs(gradient).sum()) < 1 / losses.MIN_SPREAD


@pytest.mark.slow
def test_an_image_that_cannot_be_judged_is_left_out(relative):
    pred, target, mask = relative
    few = jnp.zeros_like(mask).at[0, 0, : losses.MIN_PIXELS - 1].set(True)
    flat = jnp.full_like(target, 0.7)
    got = losses.usable(
        jnp.concatenate([target, target, flat]), jnp.concatenate([mask, few, mask])
    )
    np.testing.assert_array_equal(got, [True, False, False])
    both = affine_invariant(
        jnp.concatenate([pred, pred]),
        jnp.concatenate([target, flat]),
        jnp.concatenate([mask, mask]),
    )
    alone = affine_invariant(pred, target, mask)
    np.testing.assert_allclose(both, alone, rtol=1e-6)


def test_gradient_is_that_of_finite_differences(relative):
    pred, target, mask = relative
    mask = mask.at[:, 20:].set(False)
    # A bump away from the kinks of |x|: the median and the spread both move.
    direction = jnp.where(pred > 45, 1.0, 0.0)
    for name in RELATIVE[::2]:
        slope = (WITH_GRADIENT[name](pred, target, mask)[1] * direction).sum()
        up = TOTAL[name](pred + 2e-3 * direction, target, mask)
        down = TOTAL[name](pred - 2e-3 * direction, target, mask)
        np.testing.assert_allclose((up - down) / 4e-3, slope, rtol=0.02)


@pytest.mark.parametrize("rank", [0, 1, 40, 99])
def test_order_statistic_equals_a_sort(rank):
    generator = np.random.default_rng(rank)
    magnitude = 10.0 ** np.arange(-20, 20, 8)
    x = (generator.normal(size=(5, 400)) * magnitude[:, None]).astype(np.float32)
    x[:, ::7] = x[:, 1:2]  # ties
    x[:, 3] = -0.0
    mask = generator.random(x.shape) < 0.5
    got = jax.jit(losses.order_statistic)(x, mask, np.full(5, rank))
    want = [np.sort(row[keep])[rank] for row, keep in zip(x, mask, strict=True)]
    np.testing.assert_array_equal(got, want)


def test_an_impossible_trim_is_refused(relative):
    with pytest.raises(ValueError, match=r"trim is a share .* got 1\.0"):
        affine_invariant(*relative, trim=1.0)
