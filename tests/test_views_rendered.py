"""A rendered scene with its cameras given comes back where it stands.

The network is stood in for by the renderer: it draws depth from the cameras it is told,
in a unit of its own, so that every step before and after the network counts.
"""

import numpy as np
import pytest
from test_views import _estimator

from jax_depth.camera import Pose, back_project
from jax_depth.inference import views as module
from jax_depth.models.output import Output
from scripts import video_flicker

_UNIT = 2.5  # of the stand-in, in the network's


@pytest.fixture
def clip():
    """Return four frames of a moving camera, 80 x 60, without their ball."""
    clip = video_flicker.render(4, (60, 80), radius=1e-6)
    return clip._replace(
        pictures=clip.pictures[4:], depths=clip.depths[4:], poses=clip.poses[4:]
    )


def _drawn(first, metres, extrinsics, intrinsics, size):
    """Return true depth in metres of a camera relative to the first one."""
    relative = extrinsics.astype(np.float64)
    relative[:3, 3] *= metres
    pose = first @ np.linalg.inv(relative)
    rows, columns = np.indices(size) + 0.5  # the network's pixels, from the corner
    (fx, _, cx), (_, fy, cy) = intrinsics[:2]
    rays = np.stack([(columns - cx) / fx, (rows - cy) / fy, np.ones(size)], -1)
    nowhere = np.full(3, 1e6)
    return video_flicker._trace(
        rays @ pose[:3, :3].T, pose[:3, 3], nowhere, radius=1e-6
    )[1]


def test_points_stand_where_the_renderer_drew_them(clip, monkeypatch):
    poses = [Pose(np.linalg.inv(pose)) for pose in clip.poses]
    centres = np.stack([pose.centre for pose in poses])
    metres = np.sort(np.linalg.norm(centres - centres[0], axis=1))[1]
    # The lower median of four; nearer than that the unit would be left alone.
    assert metres > 0.1

    def network(params, pixels, config, reference, conditions):
        assert pixels.shape == (1, 4, 42, 56, 3)
        extrinsics, intrinsics = (x[0] for x in conditions.values())
        depth = [
            _drawn(clip.poses[0], metres, e, k, pixels.shape[2:4])
            for e, k in zip(extrinsics, intrinsics, strict=True)
        ]
        moved = extrinsics[:, :3].copy()
        moved[:, :, 3] *= _UNIT
        output = Output(
            np.float32(depth) * np.float32(_UNIT / metres),
            confidence=np.full((4, 42, 56), 2, np.float32),
            extrinsics=moved,
            intrinsics=intrinsics,
            reference=np.int32(0),
        )
        return module.jax.tree.map(lambda x: np.asarray(x)[None], output)

    monkeypatch.setattr(module, "_run_views", network)
    photos = list(clip.pictures)
    views = _estimator().views(photos, cameras=[clip.camera] * 4, poses=poses)
    points, colours = views.points(0.0)
    expected = np.concatenate(
        [
            back_project(depth, clip.camera, pose).reshape(-1, 3)
            for depth, pose in zip(clip.depths, poses, strict=True)
        ]
    )
    assert points.shape == expected.shape
    off = np.linalg.norm(points - expected, axis=1) / np.linalg.norm(expected, axis=1)
    # Between the network's pixels depth is interpolated, across the table's edges too.
    assert np.median(off) < 1e-3 and np.quantile(off, 0.9) < 1e-2
    assert np.array_equal(colours, np.concatenate(photos).reshape(-1, 3))
