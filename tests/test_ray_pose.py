"""Cameras from rays: exact where rays are, and the authors' where they are not."""

import warnings

import depth_anything_3_oracle as oracle
import numpy as np
import pytest
from test_depth_anything_3 import golden
from test_views import _estimator, _photos

from jax_depth.inference.ray_pose import _samples, cameras_from_rays


def _rays(focal, size, views=3, cells=(24, 32), seed=0):
    """Return rays, world to camera and intrinsics of cameras that look about."""
    rng = np.random.default_rng(seed)
    h, w = size
    rows, columns = cells
    intrinsics = np.array([[focal[0], 0, w / 2], [0, focal[1], h / 2], [0, 0, 1.0]])
    x = (np.arange(columns) + 0.5) * w / columns
    y = (np.arange(rows) + 0.5) * h / rows
    pixels = np.stack([*np.meshgrid(x, y), np.ones(cells)], -1)
    rays, extrinsics = [], []
    for _ in range(views):
        turn, _ = np.linalg.qr(np.eye(3) + 0.15 * rng.standard_normal((3, 3)))
        turn = turn * np.sign(np.diag(turn))
        place = rng.standard_normal(3)
        direction = pixels @ np.linalg.inv(intrinsics).T @ turn.T
        origin = np.broadcast_to(place, direction.shape)
        rays.append(np.concatenate([direction, origin], -1))
        extrinsics.append(np.column_stack([turn.T, -turn.T @ place]))
    return np.stack(rays).astype("f4"), np.stack(extrinsics), intrinsics


def test_exact_rays_give_their_cameras_in_spite_of_outliers():
    rays, extrinsics, intrinsics = _rays((300.0, 310.0), (252, 336))
    rng = np.random.default_rng(1)
    confidence = rng.uniform(1, 2, rays.shape[:3]).astype("f4")
    found = cameras_from_rays(rays, confidence, (252, 336))
    assert np.abs(found[0] - extrinsics).max() < 1e-5
    assert np.allclose(found[1], intrinsics, rtol=1e-5, atol=1e-3)

    # A fifth of the rays point elsewhere, and some along the image plane.
    wrong = rng.uniform(size=confidence.shape) < 0.2
    rays[wrong, :3] += rng.uniform(2, 5, (wrong.sum(), 3))
    rays[:, 0, 0, 2] = 0
    found = cameras_from_rays(rays, confidence, (252, 336))
    assert np.abs(found[0] - extrinsics).max() < 1e-3
    assert np.allclose(found[1], intrinsics, rtol=1e-3, atol=0.1)


@pytest.mark.slow
def test_views_take_their_cameras_from_rays(as_installed):
    photos = _photos(3)
    views = _estimator().views(photos, pose_from="rays")
    other = _estimator().views(photos)
    assert np.array_equal(views.depths[0].values, other.depths[0].values)
    assert not np.allclose(
        views.poses[1].world_to_camera, other.poses[1].world_to_camera, atol=1e-2
    )
    again = _estimator().views(photos, pose_from="rays")
    assert again.poses == views.poses  # nothing is drawn at random
    with pytest.raises(ValueError, match="'camera_head' or 'rays'"):
        _estimator().views(photos, pose_from="stars")


@pytest.mark.slow
def test_noisy_rays_give_the_authors_cameras(monkeypatch):
    pytest.importorskip("depth_anything_3", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from addict import Dict
        from depth_anything_3.model.da3 import DepthAnything3Net
        from depth_anything_3.utils import ray_utils

    rays, _, _ = _rays((300.0, 310.0), (252, 336), cells=(12, 16))
    rng = np.random.default_rng(2)
    rays += rng.normal(0, 0.02, rays.shape).astype("f4")
    confidence = rng.uniform(1, 2, rays.shape[:3]).astype("f4")
    raw = golden()["four-views-two-scenes/rays_raw"]
    cases = [
        (rays, confidence, (252, 336), 2e-5),
        # What a network of random weights calls rays: hardly any camera fits them.
        *((scene[..., :6], 1 + np.exp(scene[..., 6]), (28, 42), 5e-3) for scene in raw),
    ]
    assert oracle.CASES["four-views-two-scenes"][3:5] == (28, 42)
    for rays, confidence, size, tolerance in cases:
        n = confidence[0].size
        draws = _samples(max(8, int(n * 0.3)))
        drawn = (100, 8, max(8, int(n * 0.3)), torch.from_numpy(draws.copy()))
        monkeypatch.setattr(ray_utils, "get_params_for_ransac", lambda *_, d=drawn: d)
        output = Dict(
            ray=torch.from_numpy(rays.copy())[None],
            ray_conf=torch.from_numpy(confidence.copy())[None],
        )
        process = DepthAnything3Net._process_ray_pose_estimation
        expected = process(None, output, *size)
        found = cameras_from_rays(rays, confidence, size)
        error = np.abs(found[0] - expected.extrinsics[0].numpy()).max()
        assert error < tolerance * max(1, np.abs(found[0]).max())
        assert np.allclose(found[1], expected.intrinsics[0].numpy(), rtol=tolerance)
