"""The study's figures: ranges, agreement, disagreement, each against plain NumPy."""

import numpy as np
import pytest

from jax_depth.depth_map import DepthMap
from jax_depth.study.agreement import REACH, agreement
from jax_depth.study.common_form import canonical, thinned, to_disparity
from jax_depth.study.disagreement import disagreement
from jax_depth.study.experiments import Outcome
from jax_depth.study.findings import can_norms_reach
from jax_depth.study.probe import token_norms
from jax_depth.study.ranges import range_of, typical
from jax_depth.study.run import _compare


def relative(values, model="a"):
    return DepthMap(np.asarray(values, np.float32), "inverse_depth", model=model)


def metric(values, model="m"):
    return DepthMap(np.asarray(values, np.float32), "metric_depth", "m", model, 80.0)


@pytest.fixture
def scene():
    """Return depth in metres, from 1 to about 8, with a step."""
    i, j = np.mgrid[:30, :44]
    return 1 + 0.05 * i + 0.02 * j + 3.0 * (j > 20)


def test_a_range_is_order_statistics():
    values = np.random.default_rng(0).normal(size=(40, 50))
    values[0] = 0
    found = range_of(values)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    np.testing.assert_allclose(
        (found.p2, found.p25, found.median, found.p75, found.p98),
        np.quantile(values, (0.02, 0.25, 0.5, 0.75, 0.98)),
    )
    middle = np.median(values)
    np.testing.assert_allclose(found.deviation, np.abs(values - middle).mean())
    assert found.zeros == 1 / 40
    assert typical([found, found, range_of(values * 100)]) == found
    with pytest.raises(ValueError, match="holds 1 values that are NaN or infinite"):
        range_of(np.array([[1.0, np.nan]]))


def test_every_kind_becomes_inverse_depth(scene):
    shown = relative(7 / scene + 2)
    np.testing.assert_array_equal(to_disparity(shown), shown.values)
    np.testing.assert_allclose(to_disparity(metric(scene)), 1 / scene, rtol=1e-6)
    zero = metric(np.array([[0.0, 40.0]]))
    np.testing.assert_allclose(to_disparity(zero), [[1 / 0.04, 1 / 40]])
    assert not to_disparity(metric(np.zeros((2, 2)))).any()
    np.testing.assert_allclose(canonical(shown), canonical(metric(scene)), atol=1e-5)


def test_large_maps_are_thinned_not_averaged():
    depth = relative(np.arange(24.0).reshape(4, 6))
    np.testing.assert_array_equal(thinned(depth, 2).values, depth.values[::3, ::3])
    assert thinned(depth, 6) is depth


def test_agreement_ignores_scale_and_shift(scene):
    one, other = relative(1 / scene), relative(40 / scene - 1, "b")
    found = agreement(other, one)
    assert found.abs_rel < 1e-5 and found.d1 == 1 and found.notes == ()
    assert found.spearman > 0.999 and found.edges > 0.99
    rng = np.random.default_rng(0)
    noisy = 1 / scene + 0.03 * rng.normal(size=scene.shape)
    first = agreement(relative(noisy), relative(scene**-1))
    again = agreement(relative(500 * noisy + 70), relative(9 * scene**-1))
    np.testing.assert_allclose(again.abs_rel, first.abs_rel, rtol=1e-4)
    # Some steps are a threshold but for the rounding of float32 maps.
    np.testing.assert_allclose(again.edges, first.edges, atol=3e-2)
    # By hand: lstsq in disparity, the reference's nearest at depth 1.
    x, y = noisy.ravel(), (1 / scene / (1 / scene).max()).ravel()
    s, t = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
    aligned = 1 / np.maximum(s * x + t, 1 / REACH)
    np.testing.assert_allclose(
        first.abs_rel, np.mean(np.abs(aligned * y - 1)), rtol=1e-4
    )


def test_mixed_kinds_are_compared_as_inverse_depth(scene):
    found = agreement(relative(3 / scene + 1), metric(scene))
    assert found.abs_rel < 1e-5 and found.metres_abs_rel is None
    back = agreement(metric(scene), relative(3 / scene))
    assert back.abs_rel < 1e-5


def test_metric_maps_also_as_they_are(scene):
    found = agreement(metric(1.34 * scene), metric(scene))
    assert found.abs_rel < 1e-5 and found.d1 == 1
    np.testing.assert_allclose(found.metres_abs_rel, 0.34, rtol=1e-5)
    assert found.metres_d1 == 0


def test_what_cannot_be_compared_is_one_sentence(scene, as_installed):
    flat = relative(np.ones(scene.shape), "flat")
    with pytest.raises(ValueError, match="map of flat is constant, not positive or"):
        agreement(relative(scene), flat)
    assert "is constant" in agreement(flat, relative(scene)).notes[0]
    upside = agreement(relative(-1 / scene), relative(1 / scene))
    assert "scale is negative" in upside.notes[0] and upside.spearman < -0.999
    with pytest.raises(ValueError, match="must have one shape"):
        agreement(relative(scene[1:]), relative(scene))
    with pytest.raises(ValueError, match="constant"):
        canonical(flat)


def test_disagreement_says_where():
    base = np.broadcast_to(np.linspace(-2, 2, 90), (30, 90)).copy()
    other = base.copy()
    other[:, 60:] += 0.5  # the near third
    found = disagreement([base, other])
    np.testing.assert_allclose(found.spread, np.abs(other - base), atol=1e-6)
    assert found.far == found.middle == 0
    np.testing.assert_allclose((found.near, found.mean), (0.5, 0.5 / 3), rtol=1e-5)
    step = np.where(np.arange(90) < 45, -1.0, 1.0) * np.ones((30, 1))
    moved = np.roll(step, -1, axis=1)
    edges = disagreement([step, moved, step])
    assert edges.edges > 5 * edges.elsewhere


def outcomes(spread, shape):
    """Return what edits would give if norms moved the map so far."""
    rest = (0.5, 0.1, 0.9, 0.9, 0.5)
    return [
        Outcome("unchanged", 1.0, 1.0, 0.0, *rest),
        Outcome("every token × 8", 8.0, spread, shape, *rest),
        Outcome("tapped tokens all of one norm", None, 1.0, 1e-6, *rest),
    ]


def test_the_verdict_follows_the_figures():
    still = can_norms_reach({"a": outcomes(1.0002, 1e-4), "b": outcomes(1.0, 0.0)})
    assert still.startswith("Token norm cannot reach")
    assert "changes by at most 0.02 %" in still
    moved = can_norms_reach({"a": outcomes(1.0, 0.0), "b": outcomes(1.5, 0.01)})
    assert moved.startswith("Token norm does reach the output of b: ")
    assert "changes by up to 50 %" in moved
    bent = can_norms_reach({"a": outcomes(1.0, 0.3), "b": outcomes(0.9, None)})
    assert bent.startswith("Token norm does reach the output of a and b: ")


def test_outliers_are_above_three_medians():
    norms = np.full((3, 1 + 20), 50.0)
    norms[:, 0] = 900  # cls is no patch
    norms[1, 5], norms[2, [6, 7]] = 151, [149, 400]
    found = token_norms(norms, np.ones_like(norms), (4, 5))
    np.testing.assert_array_equal(found.outliers, [0, 0.05, 0.05])
    np.testing.assert_array_equal(found.published, [0, 0.05, 0.05])
    np.testing.assert_array_equal(found.special, 900)
    assert found.block == 1 and found.where.shape == (4, 5)
    np.testing.assert_allclose(found.where[0, 4], 151 / 50)
    calm = token_norms(norms[:1, 1:], norms[:1, 1:], (4, 5))
    assert calm.block == 0 and np.isnan(calm.special).all()


def test_a_picture_of_16_bits_is_shown_in_8():
    found = _compare("a.png", np.full((4, 6, 3), 0.5, np.float32), {})
    np.testing.assert_array_equal(found.photo, np.full((4, 6, 3), 128, np.uint8))
