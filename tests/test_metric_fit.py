"""DepthMap in metres: from points, a sensor, another map; and what is refused."""

import numpy as np
import pytest

from jax_depth.depth_map import DepthMap


def make(values, kind="inverse_depth", **fields):
    unit = "m" if kind == "metric_depth" else None
    return DepthMap(np.asarray(values, np.float32), kind=kind, unit=unit, **fields)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def metres(rng):
    return rng.uniform(1, 20, (31, 43))


@pytest.fixture
def disparity(metres):
    """A relative map of exact disparity, with a scale and a shift of its own."""
    return make(70 / metres + 12, model="m")


def points(metres, *places):
    return [(x, y, metres[y, x]) for x, y in places]


@pytest.mark.parametrize("places", [[(0, 0), (42, 30)], [(3, 8), (20, 4), (40, 29)]])
def test_a_few_known_distances_give_metres(disparity, metres, places):
    got = disparity.to_metric(points(metres, *places))
    np.testing.assert_allclose(got.values, metres, rtol=1e-4)
    assert (got.kind, got.unit, got.model) == ("metric_depth", "m", "m")
    assert got.max_depth == 10 * max(metres[y, x] for x, y in places)


def test_a_depth_map_is_fitted_in_depth_and_a_metric_one_by_scale(metres):
    known = points(metres, (1, 2), (30, 20), (12, 17))
    got = make(metres * 3 - 2, "depth").to_metric(known)
    np.testing.assert_allclose(got.values, metres, rtol=1e-5)
    metric = make(metres * 1.34, "metric_depth", max_depth=20.0)
    np.testing.assert_allclose(metric.to_metric(known).values, metres, rtol=1e-5)
    one = metric.metric_fit(known[:1])
    np.testing.assert_allclose((one.scale, one.shift), (1 / 1.34, 0), rtol=1e-6)


def test_a_sensor_may_be_wrong_in_a_quarter_of_its_pixels(disparity, metres, rng):
    sensor = np.where(rng.random(metres.shape) < 0.2, metres, 0)
    sensor *= 1 + 0.01 * rng.standard_normal(metres.shape)
    wrong = (rng.random(metres.shape) < 0.25) & (sensor > 0)
    sensor[wrong] = rng.uniform(0.3, 1.0, wrong.sum())
    fit = disparity.metric_fit(depth=sensor)
    # Of 1 % noise, the largest of which is cut off where disparity is large.
    np.testing.assert_allclose((fit.scale, fit.shift), (1 / 70, -12 / 70), rtol=2e-2)
    known = sensor > 0
    assert not fit.used[wrong[known]].any()
    assert fit.used[~wrong[known]].mean() > 0.9
    assert np.median(np.abs(fit.residuals[fit.used])) < 0.02
    assert 0 < fit.uncertainty < 0.01
    # Unlike plain least squares, which the wrong ones decide.
    x, y = disparity.values[known], 1 / sensor[known]
    assert abs(np.polyfit(x, y, 1)[0] * 70 - 1) > 0.05


def test_the_mask_and_unknown_pixels_are_left_out(disparity, metres):
    sensor = metres.copy()
    sensor[:, :10], sensor[:, 10:20], sensor[:, 20:25] = 0, np.nan, np.inf
    sensor[:, 25:35] = 3.0
    mask = np.broadcast_to(np.arange(43) >= 35, metres.shape)
    fit = disparity.metric_fit(depth=sensor, mask=mask)
    assert fit.known.size == 31 * 8
    np.testing.assert_allclose(fit.residuals, 0, atol=1e-5)


def test_a_fit_serves_the_next_frame_and_is_cut_off(disparity, metres):
    fit = disparity.metric_fit(points(metres, (0, 0), (42, 30)), max_depth=30.0)
    beyond = fit.apply(np.array([[0.0, 12.0, 12 + 70 / 25]]), inverse=True)
    np.testing.assert_allclose(beyond, [[30, 30, 25]], rtol=1e-4)


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ([], "0 known distances do not determine scale and shift; give at least 2"),
        ([(0, 0, 2.0)], "1 known distances do not determine"),
        ([(0, 0, 2.0), (0, 0, 2.1)], "the same value .* at all 2 known distances"),
        ([(0, 0, 2.0), (43, 0, 2.0)], "x 43, y 0 lies outside the map of 43x31"),
        ([(0, 0, -1.0)], "the distance -1 at x 0, y 0 is not a depth"),
        ([(0, 0)], r"the point \(0, 0\) must be \(x, y, metres\)"),
    ],
)
def test_points_that_do_not_determine_a_fit(disparity, known, sentence):
    with pytest.raises(ValueError, match=sentence):
        disparity.to_metric(known)


def test_other_fits_that_are_refused(disparity, metres, rng, as_installed):
    with pytest.raises(ValueError, match=r"contradict the map .*-.*check"):
        disparity.to_metric(depth=1 / metres)
    noise = np.exp(rng.uniform(-1, 5, metres.shape))
    with pytest.raises(ValueError, match=r"explain the known|contradict|uncertain by"):
        disparity.to_metric(depth=noise)
    with pytest.raises(ValueError, match="0 known distances"):
        disparity.to_metric(depth=metres, mask=np.zeros(metres.shape, bool))
    with pytest.raises(ValueError, match=r"has shape \(5, 5\), the map \(31, 43\)"):
        disparity.to_metric(depth=np.ones((5, 5)))
    with pytest.raises(ValueError, match=r"mask has shape \(43,\), the map \(31, 43\)"):
        disparity.to_metric(depth=metres, mask=np.ones(43, bool))
    for far in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"max_depth .* must be metres above 0"):
            disparity.to_metric(depth=metres, max_depth=far)
    with pytest.raises(ValueError, match="use scale_shift or scale"):
        disparity.to_metric(depth=metres, unknowns="both")
    with pytest.raises(ValueError, match="points or depth, one of the two"):
        disparity.to_metric()
    flat = make(np.full((31, 43), 5.0))
    with pytest.raises(ValueError, match=r"the same value \(5\) at all 1333"):
        flat.to_metric(depth=metres)


def test_align_to_forgets_scale_and_shift(disparity, rng):
    noise = disparity.values + rng.normal(0, 0.1, disparity.shape)
    other = make(noise * 0.02 - 3, model="other")
    got = disparity.align_to(other)
    line = np.polyfit(disparity.values.ravel(), other.values.ravel(), 1)
    np.testing.assert_allclose(
        got.values, np.polyval(line, disparity.values), atol=1e-4
    )
    assert (got.kind, got.unit, got.model) == ("inverse_depth", None, "m")
    assert np.abs(got.values - other.values).max() < 0.02
    metric = make(100 / disparity.values, "metric_depth", max_depth=80.0)
    depth = make(7 * metric.values - 1, "depth").align_to(metric)
    np.testing.assert_allclose(depth.values, metric.values, rtol=1e-4)
    assert (depth.unit, depth.max_depth) == ("m", 80.0)


def test_align_to_refuses_what_cannot_be(disparity):
    flat = make(np.ones(disparity.shape))
    for one, other, sentence in (
        (disparity, make(np.eye(3)), "are 43x31 and 3x3"),
        (disparity, make(disparity.values, "depth"), "inverse_depth cannot be aligned"),
        (disparity, make(-disparity.values), "order near and far"),
        (flat, disparity, r"this map is constant \(1\)"),
        (disparity, flat, r"the other map is constant \(1\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            one.align_to(other)
