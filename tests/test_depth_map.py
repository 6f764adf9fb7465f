"""DepthMap: what it accepts, what it promises, its gauges."""

import copy
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from jax_depth.depth_map import DepthMap


def make(values, kind="inverse_depth", **fields):
    unit = "m" if kind == "metric_depth" else None
    return DepthMap(np.asarray(values), kind=kind, unit=unit, **fields)


@pytest.fixture
def disparity(rng):
    return make(rng.gamma(2.0, 30.0, size=(17, 23)).astype(np.float32))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_values_are_raw_float32_and_cannot_change(rng):
    given = rng.uniform(0, 200, size=(5, 7)).astype(np.float32)
    depth = make(given)
    np.testing.assert_array_equal(depth.values, given)
    given[0, 0] = -1
    assert depth.values[0, 0] != -1
    with pytest.raises(ValueError, match="read-only"):
        depth.values[0, 0] = 0


def test_a_read_only_view_of_a_writable_array_is_copied():
    base = np.zeros((3, 4), np.float32)
    view = base[:]
    view.setflags(write=False)
    depth = make(view)
    base[1, 2] = 9
    assert depth.values[1, 2] == 0


@pytest.mark.parametrize(
    "values",
    [np.arange(6).reshape(2, 3), np.ones((2, 3), np.float64), jnp.ones((2, 3))],
    ids=["int", "float64", "jax"],
)
def test_other_arrays_become_float32(values):
    depth = make(values)
    assert depth.values.dtype == np.float32
    assert depth.shape == (2, 3)
    np.testing.assert_array_equal(depth.values, np.asarray(values, np.float32))


@pytest.mark.parametrize("shape", [(4,), (1, 4, 5), (0, 3), ()])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"needs an array \(h, w\)"):
        make(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "disparity"}, "'disparity' is unknown"),
        ({"kind": "inverse_depth", "unit": "m"}, "do not fit"),
        ({"kind": "depth", "max_depth": 20.0}, "only metric_depth has one"),
        ({"kind": "metric_depth", "unit": "m", "max_depth": -3.0}, "must be metres"),
        ({"kind": "metric_depth", "unit": "m", "max_depth": np.nan}, "must be metres"),
    ],
)
def test_contradicting_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        DepthMap(np.ones((2, 2)), **fields)


def _pickled(one):
    return pickle.loads(pickle.dumps(one))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, _pickled])
def test_copies_are_read_only_too(copied):
    one = DepthMap(np.ones((2, 3)), "metric_depth", "m", "some", 20.0)
    other = copied(one)
    assert vars(other).keys() == vars(one).keys()
    assert (other.values == one.values).all() and not other.values.flags.writeable
    assert (other.kind, other.unit, other.model) == ("metric_depth", "m", "some")
    assert other.max_depth == 20


def test_array_protocol(disparity):
    np.testing.assert_array_equal(np.asarray(disparity), disparity.values)
    assert np.asarray(disparity, dtype=np.float64).dtype == np.float64
    copy = np.array(disparity)
    copy[0, 0] = -1
    assert disparity.values[0, 0] != -1


def test_repr_says_shape_kind_range_unit_and_model():
    depth = make([[1.25, 7.5]], "metric_depth", model="m", max_depth=20.0)
    assert repr(depth) == "DepthMap(1x2 metric_depth, 1.25 to 7.5 m by m)"
    assert repr(make([[0.0], [3.0]])) == "DepthMap(2x1 inverse_depth, 0 to 3)"


def test_canonical_has_median_0_and_mean_absolute_deviation_1(disparity):
    d = disparity.canonical().values.astype(np.float64)
    assert abs(np.median(d)) < 1e-6
    assert abs(np.mean(np.abs(d)) - 1) < 1e-6


def test_canonical_forgets_scale_and_shift(disparity):
    other = make(disparity.values.astype(np.float64) * 37.0 + 5.0)
    np.testing.assert_allclose(
        other.canonical().values, disparity.canonical().values, atol=2e-6
    )


def test_canonical_of_known_values():
    # median 3, deviations 2, 1, 0, 1, 6: mean 2.
    depth = make([[1, 2, 3, 4, 9]]).canonical()
    np.testing.assert_array_equal(depth.values, [[-1, -0.5, 0, 0.5, 3]])
    assert (depth.kind, depth.unit) == ("inverse_depth", None)
    metric = make([[1, 2, 9]], "metric_depth", max_depth=20.0).canonical()
    assert (metric.kind, metric.unit, metric.max_depth) == ("depth", None, None)


@pytest.mark.parametrize("value", [0.0, 7.25, 0.1])
def test_a_constant_map_has_no_canonical_form(value):
    with pytest.raises(ValueError, match=r"constant .* no canonical form"):
        make(np.full((5, 3), value)).canonical()


def test_to_depth_inverts_above_the_floor():
    depth = make([[0.0, 0.05, 0.1, 0.5, 4.0]], model="m").to_depth(floor=0.1)
    np.testing.assert_array_equal(
        depth.values, np.array([[10, 10, 10, 2, 0.25]], np.float32)
    )
    assert (depth.kind, depth.unit, depth.model) == ("depth", None, "m")


@pytest.mark.parametrize("floor", [0, -1.0, np.nan, np.inf, 1e-45])
def test_to_depth_refuses_a_floor_that_gives_no_depth(disparity, floor):
    with pytest.raises(ValueError, match="must be a number above 0"):
        disparity.to_depth(floor)


@pytest.mark.parametrize("kind", ["depth", "metric_depth"])
def test_to_depth_of_depth_is_a_mistake(kind):
    with pytest.raises(ValueError, match=f"is {kind} already"):
        make([[1.0, 2.0]], kind).to_depth(0.1)


def test_normalized_spans_the_map_or_the_given_range():
    depth = make([[2.0, 4.0, 10.0]])
    np.testing.assert_array_equal(depth.normalized(), [[0, 0.25, 1]])
    np.testing.assert_array_equal(depth.normalized(4.0, 8.0), [[0, 0, 1]])
    np.testing.assert_array_equal(
        depth.normalized(low=0.0), np.float32([[0.2, 0.4, 1]])
    )
    assert depth.normalized().dtype == np.float32
    np.testing.assert_array_equal(make(np.full((2, 2), 3.0)).normalized(), 0)


@pytest.mark.parametrize("bounds", [(3.0, 3.0), (5.0, 1.0), (0.0, np.inf), (9.0, None)])
def test_normalized_refuses_an_empty_range(bounds):
    with pytest.raises(ValueError, match="low must be below high"):
        make([[2.0, 4.0]]).normalized(*bounds)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(bad):
    depth = make([[1.0, bad, 3.0]])
    for use in (depth.canonical, depth.normalized, lambda: depth.to_depth(0.1)):
        with pytest.raises(ValueError, match="holds 1 values that are NaN or inf"):
            use()


def test_a_metric_map_is_in_metres_without_being_told():
    assert DepthMap(np.ones((2, 3)), "metric_depth").unit == "m"


def test_confidence_and_sky_belong_to_every_pixel_and_stay(rng):
    values = rng.uniform(1, 2, size=(4, 5)).astype(np.float32)
    sky, sure = rng.normal(size=(2, 4, 5)).astype(np.float32)
    depth = DepthMap(values, "inverse_depth", confidence=sure, sky=sky)
    other = DepthMap(2 * values + 1, "inverse_depth")
    copies = pickle.loads(pickle.dumps(depth)), copy.deepcopy(depth)
    moved = depth.canonical(), depth.to_depth(0.1), depth.align_to(other)
    known = np.linspace(1, 5, 20).reshape(4, 5)
    ordered = DepthMap(1 / known, "inverse_depth", confidence=sure, sky=sky)
    for result in (*copies, *moved, ordered.to_metric(depth=known)):
        np.testing.assert_array_equal(result.confidence, sure)
        np.testing.assert_array_equal(result.sky, sky)
        assert not result.sky.flags.writeable and not result.values.flags.writeable
    with pytest.raises(ValueError, match=r"sky .*\(2, 2\).*\(4, 5\)"):
        DepthMap(values, "depth", sky=np.ones((2, 2)))
