"""A clip in windows: the published index table, the stitching, and where ours differs.

`_published` is the authors' `infer_video_depth` once more, whole clip in memory and
float32 as theirs (DepthAnything/Video-Depth-Anything `video_depth_anything/
video_depth.py`, `utils/util.py`).
"""

import numpy as np
import pytest

from jax_depth.inference.windows import check_stitch, stitched, windows

COUNTS = (1, 2, 31, 32, 33, 54, 55, 120)
LENGTH, OVERLAP, KEYS = 32, 10, [0, 12, *range(24, 32)]


def _padded(frames):
    step = LENGTH - OVERLAP
    append = (step - len(frames) % step) % step + OVERLAP
    return [*frames, *[frames[-1]] * append]


def _indices(count):
    frames = _padded(list(range(count)))
    table, previous = [], None
    for start in range(0, count, LENGTH - OVERLAP):
        window = frames[start : start + LENGTH]
        if previous is not None:
            window[:OVERLAP] = [previous[key] for key in KEYS]
        previous = window
        table.append(window)
    return table


def _published(table, maps, count):
    """Stitch `maps` (windows, 32, h, w) as the authors do."""
    aligned, reference = [], []
    for window in maps:
        if not aligned:
            aligned += list(window)
            reference = [window[0], window[12]]
            continue
        x, y = np.concatenate(window[:2]), np.concatenate(reference)
        ones = np.ones_like(x, np.float64)
        a00, a01, a11 = (x.astype(float) ** 2).sum(), x.sum(dtype=float), ones.sum()
        b0, b1 = (x.astype(float) * y).sum(), y.sum(dtype=float)
        determinant = a00 * a11 - a01 * a01
        scale, shift = 1.0, 0.0
        if determinant != 0:
            scale = (a11 * b0 - a01 * b1) / determinant
            shift = (-a01 * b0 + a00 * b1) / determinant
        moved = np.maximum(window * scale + shift, 0)
        for i, weight in enumerate(np.linspace(0, 1, 8)):
            aligned[i - 8] = (1 - weight) * aligned[i - 8] + weight * moved[2 + i]
        aligned += list(moved[OVERLAP:])
        reference = [reference[0], moved[12]]
    return np.array(aligned[:count])


def _maps(count, detail=1.0, size=(12, 17), seed=0):
    """Return maps of windows, each of its own scale and shift, with some noise."""
    rng = np.random.default_rng(seed)
    scene = rng.normal(size=size) + 6
    drift = rng.normal(size=size) * 0.001
    detail = np.broadcast_to(detail, count)
    truth = np.array([detail[i] * (scene + i * drift) for i in range(count)])
    result = []
    for window in _indices(count):
        scale, shift = rng.uniform(0.6, 1.6), rng.uniform(0, 1)
        noise = rng.normal(size=(LENGTH, *size)) * 0.01
        seen = truth[window] * scale + shift + noise
        result.append(np.maximum(seen, 0).astype(np.float32))
    return truth, result


def _ours(maps, count, **options):
    counts = [n for _, n in windows(range(count))]
    pairs = ((list(window), n) for window, n in zip(maps, counts, strict=True))
    return np.array(list(stitched(pairs, **options)))


@pytest.mark.parametrize("count", COUNTS)
def test_windows_see_the_published_frames(count):
    found = list(windows(range(count)))
    assert [window for window, _ in found] == _indices(count)
    assert sum(new for _, new in found) == count


def test_the_windows_of_sixty_frames_in_numbers():
    (first, _), (second, _), (third, new) = windows(range(60))
    assert first == list(range(32))
    assert second == [0, 12, *range(24, 54)]
    assert third == [0, 34, *range(46, 60), *[59] * 16]
    assert new == 6


def test_windows_are_read_as_they_are_asked_for():
    read = []
    found = windows(read.append(i) or i for i in range(1000))
    next(found)
    assert len(read) == 32
    next(found)
    assert len(read) == 54
    assert list(windows([])) == []


@pytest.mark.parametrize("count", COUNTS)
def test_stitching_is_that_of_the_authors(count):
    _, maps = _maps(count)
    expected = _published(_indices(count), maps, count)
    for stitch, tolerance in (("exact", 3e-5), ("steady", 1e-4)):
        found = _ours(maps, count, stitch=stitch)
        assert found.dtype == np.float32 and found.shape == expected.shape
        atol = tolerance * expected.max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_metres_are_faded_and_not_fitted():
    _, maps = _maps(60)
    found = _ours(maps, 60, align=False)
    np.testing.assert_array_equal(found[:24], maps[0][:24])
    np.testing.assert_array_equal(found[32:46], maps[1][10:24])
    middle = np.float32(3 / 7) * maps[1][5] + np.float32(4 / 7) * maps[0][27]
    np.testing.assert_allclose(found[27], middle, rtol=1e-6)


@pytest.mark.parametrize("dark", [14, 23, 40, 70])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_dark_opening_makes_the_rest_flat_only_as_published(dark, noise):
    count = 160
    detail = np.r_[np.zeros(dark), np.ones(count - dark)]
    truth, maps = _maps(count, detail)
    if not noise:
        for window, seen in zip(maps, _indices(count), strict=True):
            for i, frame in enumerate(seen):
                if frame < dark:
                    window[i] = window[i].mean()

    def contrast(found):
        return found[-1].std() / truth[-1].std()

    exact = _ours(maps, count, stitch="exact")
    steady = _ours(maps, count, stitch="steady")
    assert not 0.6 < contrast(exact) < 1.6 or (not noise and dark > 22)
    assert 0.6 < contrast(steady) < 1.6
    # And one scale from the first lively frames that a window shares with its next.
    lively = steady[dark + 32 :]
    assert np.isfinite(steady).all() and steady.min() >= 0
    spread = lively.std((1, 2)) / truth[dark + 32 :].std((1, 2))
    assert spread.max() / spread.min() < 1.1


def test_another_stitch_is_refused():
    with pytest.raises(ValueError, match="'smooth' is unknown; use steady or exact"):
        check_stitch("smooth")
