"""Alignments: each against another way to its answer, and what is doubtful."""

import re

import numpy as np
import pytest
from scipy import optimize

from jax_depth import evaluation
from jax_depth.alignment import fit, fit_trimmed
from jax_depth.evaluation.alignment import Alignment, align


def test_least_squares_in_log_depth(scene):
    depth, wrong, mask = scene
    got = align(wrong**2 * 7, depth, mask, Alignment(space="log_depth"), 1e-3, 80.0)
    want = np.polyfit(np.log(wrong[mask] ** 2 * 7), np.log(depth[mask]), 1)
    np.testing.assert_allclose([got.scale, got.shift], want, rtol=1e-9)
    np.testing.assert_allclose(
        got.depth[mask],
        np.exp(want[1]) * (wrong[mask] ** 2 * 7) ** want[0],
        rtol=1e-9,
    )


def test_median_scale_is_a_ratio_of_medians(scene):
    depth, wrong, mask = scene
    got = align(3 * wrong, depth, mask, Alignment("median", "depth"), 1e-3, 80.0)
    want = np.median(depth[mask]) / np.median(3 * wrong[mask])
    assert (got.scale, got.shift) == (want, 0)
    # Not the median of ratios, which some harnesses take.
    assert abs(want - np.median(depth[mask] / (3 * wrong[mask]))) > 1e-4


def test_least_squares_of_the_scale_alone(scene):
    depth, wrong, mask = scene
    got = fit(wrong[mask], depth[mask], "scale")
    want = np.linalg.lstsq(wrong[mask][:, None], depth[mask], rcond=None)[0]
    np.testing.assert_allclose(got, (want[0], 0), rtol=1e-12)


@pytest.mark.parametrize("method", ["scale", "median", "trimmed", "scale_shift"])
def test_nothing_but_zeros_has_scale_zero(method):
    scale, _ = fit(np.zeros(9), np.arange(9.0), method)
    assert scale == 0


def test_trimmed_fit_forgets_outliers_that_least_squares_follows(scene):
    depth, _, mask = scene
    rng = np.random.default_rng(0)
    x, y = 40 / depth[mask] + 7, 1 / depth[mask]
    bad = rng.random(x.size) < 0.15
    y = np.where(bad, rng.uniform(2, 5, x.size), y)
    np.testing.assert_allclose(fit_trimmed(x, y), (1 / 40, -7 / 40), rtol=1e-9)
    assert abs(fit(x, y, "scale_shift")[1] + 7 / 40) > 0.05


def test_trimmed_fit_reaches_the_least_sum_of_kept_squares():
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    y = 2 * x + 1 + rng.standard_t(1.5, size=60)

    def kept_squares(line):
        return np.sort((line[0] * x + line[1] - y) ** 2)[:48].sum()

    got = kept_squares(fit_trimmed(x, y))
    bounds = [(-5, 9), (-8, 10)]
    best = optimize.differential_evolution(kept_squares, bounds, seed=0, tol=1e-10)
    np.testing.assert_allclose(got, best.fun, rtol=1e-6)


def test_trimmed_fit_of_many_points_starts_from_a_sample():
    rng = np.random.default_rng(2)
    x = rng.uniform(size=20_000)
    y = np.where(rng.random(x.size) < 0.19, 9, 3 * x - 1)
    np.testing.assert_allclose(fit_trimmed(x, y), (3, -1), rtol=1e-9)


def test_the_floor_decides_how_far_away_zero_is(scene):
    depth, _, mask = scene
    pred = np.where(np.arange(48) < 3, 0.0, 1 / depth)
    for floor, far in ((None, 80.0), (1 / 20, 20.0), (1 / 500, 80.0)):
        alignment = Alignment("none", "disparity", floor)
        got = align(pred, depth, mask, alignment, 1e-3, 80.0)
        np.testing.assert_allclose(got.depth[:, :3], far)
        np.testing.assert_allclose(got.depth[:, 3:], depth[:, 3:])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda depth: np.full_like(depth, 4.5), r"is constant \(4\.5\)"),
        (lambda depth: depth, r"scale is negative \(-.*the wrong way round"),
    ],
)
@pytest.mark.parametrize("method", ["scale_shift", "trimmed"])
def test_a_doubtful_fit_is_judged_with_a_sentence(scene, make, sentence, method):
    depth, _, mask = scene
    score = evaluation.score(make(depth), depth, mask, Alignment(method), 1e-3, 80.0)
    assert np.isfinite(list(score.metrics.values())).all()
    (note,) = score.aligned.notes
    assert re.search(sentence, note)


@pytest.mark.parametrize(("count", "named"), [(1, "one valid pixel"), (2, "2 valid")])
def test_two_valid_pixels_fit_whatever_is_predicted(scene, count, named):
    depth, wrong, mask = scene
    few = np.zeros_like(mask)
    few[5, [7, 20][:count]] = True
    score = evaluation.score(wrong[::-1], depth, few, Alignment(), 1e-3, 80.0)
    assert score.metrics["abs_rel"] < 1e-12 and score.pixels == count
    assert any(named in note and "say nothing" in note for note in score.aligned.notes)


def test_refusals(scene, as_installed):
    depth, wrong, mask = scene
    with pytest.raises(ValueError, match="floor 0 must be a number above 0"):
        Alignment(floor=0)
    alignment = Alignment(space="log_depth")
    with pytest.raises(ValueError, match="has no logarithm; align in depth"):
        align(wrong - 2, depth, mask, alignment, 1e-3, 80.0)
