"""Alignment and metrics: published definitions in float64, and refusals."""

import numpy as np
import pytest

from jax_depth import evaluation
from jax_depth.evaluation.metrics import depth_metrics, spearman


def test_metric_definitions_are_upstreams(scene):
    depth, wrong, mask = scene
    got = evaluation.evaluate(wrong, depth, mask, align="none", space="depth")
    # Depth Anything V2, metric_depth/util/metric.py, on the same arrays.
    want = {"abs_rel": 0.0635983530, "rmse": 0.2047717914, "silog": 0.0708762230}
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, err_msg=name)
    assert got["d1"] == got["d2"] == got["d3"] == 1


def test_disparity_is_fitted_in_disparity(scene):
    depth, wrong, mask = scene
    farthest = np.nextafter(depth[mask].max(), np.inf)
    pred = 50 / wrong + 20
    got = evaluation.evaluate(pred, depth, mask, max_depth=farthest)
    # By np.linalg.lstsq; the floor of the aligned disparity is 1 / farthest.
    valid = mask & (depth < farthest)
    design = np.stack([pred[valid], np.ones(valid.sum())], 1)
    s, t = np.linalg.lstsq(design, 1 / depth[valid], rcond=None)[0]
    aligned = 1 / np.maximum(s * pred + t, 1 / farthest)
    want = np.mean(np.abs(aligned - depth)[valid] / depth[valid])
    np.testing.assert_allclose(got["abs_rel"], want, rtol=1e-9)
    np.testing.assert_allclose(got["abs_rel"], 0.0618585740, rtol=1e-6)
    assert got["d1"] == 1


def test_fitting_depth_instead_is_another_and_worse_number(scene):
    depth, wrong, mask = scene
    pred = 1 / (50 / wrong + 20)
    got = evaluation.evaluate(pred, depth, mask, space="depth")
    np.testing.assert_allclose(got["abs_rel"], 0.1089623586, rtol=1e-6)
    np.testing.assert_allclose(got["d1"], 0.9312320917, rtol=1e-6)


def test_fit_is_least_squares_even_far_from_zero(scene):
    depth, wrong, mask = scene
    scale, shift = evaluation.fit_scale_shift(50 / wrong + 20, 1 / depth, mask)
    np.testing.assert_allclose([scale, shift], [0.0192162559, -0.3689531690], rtol=1e-8)
    # Raw outputs of a large model lie around 100; this one is worse still.
    scale, shift = evaluation.fit_scale_shift(50 / wrong + 1e6, 1 / depth, mask)
    np.testing.assert_allclose(scale, 0.0192162559, rtol=1e-6)


def test_relative_metrics_ignore_scale_and_shift(scene):
    depth, wrong, mask = scene
    first = evaluation.evaluate(1 / wrong, depth, mask)
    second = evaluation.evaluate(700 / wrong - 30, depth, mask)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-9)


def test_a_perfect_prediction_and_one_upside_down(scene):
    depth, _, mask = scene
    good = evaluation.evaluate(3 / depth + 1, depth, mask)
    assert good["abs_rel"] < 1e-12 and good["d1"] == 1
    # Rounding of 1 / depth breaks a few ties.
    np.testing.assert_allclose(good["spearman"], 1, rtol=1e-5)
    bad = evaluation.evaluate(depth, depth, mask)
    np.testing.assert_allclose(bad["spearman"], -1, rtol=1e-5)


def test_a_constant_prediction_is_the_mean_disparity(scene):
    depth, _, mask = scene
    got = evaluation.evaluate(np.full_like(depth, 0.1), depth, mask)
    guess = 1 / np.mean(1 / depth[mask])
    want = depth_metrics(np.full(mask.sum(), guess), depth[mask])
    np.testing.assert_allclose(got["abs_rel"], want["abs_rel"], rtol=1e-9)
    assert got["spearman"] == 0


def test_scale_alone_and_none(scene):
    depth, _, mask = scene
    kwargs = {"space": "depth"}
    scaled = evaluation.evaluate(7 * depth, depth, mask, align="scale", **kwargs)
    assert scaled["abs_rel"] < 1e-12
    raw = evaluation.evaluate(2 * depth, depth, mask, align="none", **kwargs)
    np.testing.assert_allclose(raw["abs_rel"], 1, rtol=1e-12)
    np.testing.assert_allclose(raw["silog"], np.log(2) * np.sqrt(0.5), rtol=1e-12)
    assert raw["d3"] == 0


def test_pixels_beyond_the_range_or_unknown_are_left_out(scene):
    depth, wrong, mask = scene
    want = evaluation.evaluate(1 / wrong, depth, mask)
    pred = np.where(mask, 1 / wrong, np.nan)
    for bad in (np.nan, np.inf, 0.0, 80.0, 1e4):
        got = evaluation.evaluate(pred, np.where(mask, depth, bad), np.ones_like(mask))
        assert got == want


def test_the_prediction_is_clipped_to_the_range():
    depth = np.array([[1.0, 2.0, 4.0, 70.0]])
    pred = np.array([[2.0, 1.0, 0.5, -1.0]])
    got = evaluation.evaluate(pred, depth, depth > 0, align="none", max_depth=80.0)
    np.testing.assert_allclose(
        got["abs_rel"], np.mean([0.5, 0.5, 0.5, 10 / 70]), rtol=1e-12
    )


def test_spearman_shares_ranks_among_ties():
    x, y = np.array([1.0, 2, 2, 3, 5, 5]), np.array([2.0, 1, 3, 3, 4, 9])
    # scipy.stats.spearmanr(x, y).statistic
    np.testing.assert_allclose(spearman(x, y), 0.8508410434878082, rtol=1e-12)
    np.testing.assert_allclose(spearman(x, np.exp(x)), 1, rtol=1e-12)


def test_refusals_name_what_is_wrong(scene, as_installed):
    depth, wrong, mask = scene
    evaluate = evaluation.evaluate
    with pytest.raises(ValueError, match=r"\(16, 48\), depth \(32, 48\)"):
        evaluate(wrong[::2], depth, mask)
    with pytest.raises(ValueError, match=r"no valid pixel .* 0\.001 and 80\.0 m"):
        evaluate(wrong, depth, ~mask & mask)
    with pytest.raises(ValueError, match="not finite on every valid pixel"):
        evaluate(np.full_like(wrong, np.nan), depth, mask)
    with pytest.raises(ValueError, match="space 'inverse' is unknown"):
        evaluate(wrong, depth, mask, space="inverse")
    with pytest.raises(ValueError, match="align 'affine' is unknown"):
        evaluate(wrong, depth, mask, align="affine")
