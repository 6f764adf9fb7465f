"""Cameras and poses: closed forms, and OpenCV's own projection."""

import pickle

import numpy as np
import pytest

from jax_depth.camera import Intrinsics, Pose, back_project, project

CAMERA = Intrinsics(50.0, 60.0, 31.5, 20.25)


def turned(seed: int = 0) -> Pose:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    return Pose(np.concatenate([q, rng.normal(size=(3, 1))], axis=1))


def test_projection_is_that_of_opencv():
    cv2 = pytest.importorskip("cv2")
    pose = turned()
    points = pose.centre + np.random.default_rng(1).normal(size=(20, 3))
    pixels, depth = project(points, CAMERA, pose)
    front = depth > 0.1
    assert front.sum() > 3
    turn, _ = cv2.Rodrigues(pose.rotation)
    theirs, _ = cv2.projectPoints(
        points[front], turn, pose.translation, CAMERA.matrix, None
    )
    np.testing.assert_allclose(pixels[front], theirs[:, 0], rtol=1e-9, atol=1e-7)


def test_back_projection_inverts_projection():
    depth = np.random.default_rng(2).uniform(1, 5, (6, 9))
    points = back_project(depth, CAMERA, turned(3))
    pixels, z = project(points, CAMERA, turned(3))
    rows, columns = np.mgrid[:6, :9]
    np.testing.assert_allclose(z, depth, rtol=1e-12)
    np.testing.assert_allclose(pixels[..., 0], columns, atol=1e-9)
    np.testing.assert_allclose(pixels[..., 1], rows, atol=1e-9)


def test_pose_and_its_inverse():
    pose = turned(4)
    here = pose.rotation @ pose.centre + pose.translation
    np.testing.assert_allclose(here, 0, atol=1e-12)
    both = np.vstack([pose.camera_to_world, (0, 0, 0, 1)])
    again = np.vstack([pose.world_to_camera, (0, 0, 0, 1)])
    np.testing.assert_allclose(both @ again, np.eye(4), atol=1e-12)
    assert Pose(again) == pose == pickle.loads(pickle.dumps(pose))
    assert Pose.identity().centre.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        pose.world_to_camera[0, 0] = 2


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.eye(3), "(3, 3)"),
        (2 * np.eye(3, 4), "rotation"),
        (np.diag([1.0, 1, -1, 1])[:3], "rotation"),
        (np.full((3, 4), np.nan), "NaN"),
    ],
)
def test_what_is_no_pose_is_refused(matrix, says):
    with pytest.raises(ValueError) as error:
        Pose(matrix)
    assert says in str(error.value)


def test_resizing_moves_edges_to_edges():
    # Of a picture of 64 x 40 whose optical axis leaves through the middle.
    camera = Intrinsics(50, 50, 31.5, 19.5).resized((40, 64), (20, 128))
    assert camera == Intrinsics(100, 25, 63.5, 9.5)
