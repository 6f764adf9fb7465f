"""Sky: filled picture by picture, the same every time, and only when asked."""

import warnings

import numpy as np
import pytest
from test_views import _metric, _photos

from jax_depth.camera import Intrinsics, Pose
from jax_depth.depth_map import DepthMap
from jax_depth.sky import fill_sky
from jax_depth.views import Views


def _map(seed=0, size=(40, 60), scale=1.0, **more):
    rng = np.random.default_rng(seed)
    values = scale * rng.lognormal(size=size).astype("f4")
    sky = np.zeros(size, "f4")
    sky[:10] = 0.3
    return DepthMap(values, "depth", sky=sky, **more)


def test_sky_lies_at_the_99th_percentile_of_the_ground():
    depth = _map(confidence=np.full((40, 60), 3, "f4"))
    filled = depth.sky_filled()
    ground = np.sort(depth.values[10:].ravel())
    place = 0.99 * (len(ground) - 1)
    low = ground[int(place)]
    expected = low + (place % 1) * (ground[int(place) + 1] - low)
    assert np.allclose(filled.values[:10], expected, rtol=1e-6)
    assert np.array_equal(filled.values[10:], depth.values[10:])
    assert set(filled.confidence[:10].ravel()) == {1}
    assert set(filled.confidence[10:].ravel()) == {3}
    assert np.array_equal(filled.sky, depth.sky)
    assert depth.sky_filled(farthest=0.5).values[0, 0] == 0.5


def test_what_is_nearly_all_ground_or_all_sky_stays():
    values = _map().values
    for few in (np.zeros((40, 60), "f4"), np.ones((40, 60), "f4")):
        few.flat[:10] = 1 - few.flat[:10]
        assert fill_sky(values, few) is values
    cropped = values.copy()
    cropped[-5:] = np.nan
    filled = fill_sky(cropped, _map().sky)
    assert np.isnan(filled[-5:]).all() and np.isfinite(filled[:-5]).all()


def test_a_picture_s_sky_does_not_depend_on_its_neighbours():
    photos = [*_photos(1, seed=0), *_photos(1, seed=1)]
    together = [depth.sky_filled() for depth in _metric()(photos)]
    for photo, depth in zip(photos, together, strict=True):
        alone = _metric()(photo).sky_filled()
        assert np.allclose(alone.values, depth.values, rtol=1e-4)


def test_maps_without_sky_say_so():
    with pytest.raises(ValueError, match="mono-large"):
        DepthMap(np.ones((2, 2), "f4"), "depth", model="tiny").sky_filled()


def test_sky_of_views_is_filled_and_no_point():
    first = _map(scale=1000.0)
    metres = DepthMap(first.values, "metric_depth", sky=first.sky)
    camera = Intrinsics(50.0, 50.0, 29.5, 19.5)
    photo = np.zeros((40, 60, 3), np.uint8)
    views = Views([metres], [camera], [Pose.identity()], 0, [photo])
    filled = views.sky_filled()
    assert set(filled.depths[0].values[:10].ravel()) == {200}
    assert len(filled.points(0.0)[0]) == 30 * 60


@pytest.mark.slow
def test_it_is_the_authors_depth():
    pytest.importorskip("depth_anything_3", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from addict import Dict
        from depth_anything_3.model.da3 import DepthAnything3Net

    depth = _map()
    maps = {name: getattr(depth, name).copy() for name in ("values", "sky")}
    output = Dict(
        depth=torch.from_numpy(maps["values"])[None, None],
        sky=torch.from_numpy(maps["sky"])[None, None],
    )
    expected = DepthAnything3Net._process_mono_sky_estimation(None, output)
    found = depth.sky_filled().values
    assert np.allclose(found, expected.depth[0, 0].numpy(), rtol=1e-6)
