"""Metrics beyond the usual: every published variant, edges, time, pairs."""

import json

import numpy as np
import pytest
from PIL import Image

from jax_depth.camera import Intrinsics
from jax_depth.data.sample import DatasetError, SampleError
from jax_depth.depth_map import DepthMap
from jax_depth.evaluation import boundary_f1, da2k, depth_metrics
from jax_depth.evaluation.temporal import temporal_alignment_error


def test_every_variant_is_its_sources(scene):
    depth, wrong, mask = scene
    got = depth_metrics(wrong[mask], depth[mask])
    # By the code of each source on the same arrays: Depth Anything V2 for all but the
    # last three, which are ZoeDepth's metric (and Marigold's) and ZoeDepth's loss.
    want = {
        "abs_rel": 0.0635983530,
        "sq_rel": 0.0133439368,
        "rmse": 0.2047717914,
        "rmse_log": 0.0708880123,
        "log10": 0.0276694618,
        "silog": 0.0708762230,
        "silog_kitti": 7.0864431831,
        "silog_loss": 0.7089335993,
    }
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, err_msg=name)
    n = mask.sum()
    unbiased = got["silog_kitti"] * np.sqrt(n / (n - 1))
    np.testing.assert_allclose(got["silog_unbiased"], unbiased, rtol=1e-12)


def test_one_pixel_has_metrics():
    got = depth_metrics(np.array([2.0]), np.array([1.0]))
    assert got["silog_unbiased"] == 0 and got["abs_rel"] == 1


def test_boundary_f1_is_depth_pros(scene):
    depth, wrong, _ = scene
    np.testing.assert_allclose(boundary_f1(wrong, depth), 0.9485623086, rtol=1e-6)
    # By a power of two, since some steps are 1.05 but for rounding.
    np.testing.assert_allclose(boundary_f1(8 * depth, depth), 1, rtol=1e-12)
    assert boundary_f1(np.ones_like(depth), depth) == 0


def test_edges_beside_holes_are_not_seen(scene):
    depth, wrong, mask = scene
    got = boundary_f1(np.where(mask, wrong, 0), np.where(mask, depth, np.nan), mask)
    assert got == boundary_f1(wrong, depth, mask) != boundary_f1(wrong, depth)
    # The only edge of this map is between columns 4 and 5.
    step = np.where(np.arange(9) < 5, 1.0, 2.0) * np.ones((6, 1))
    known = np.ones((6, 9), bool)
    assert boundary_f1(step, step, known) == 0.25  # in one direction of four
    known[:, 4] = False
    assert boundary_f1(step, step, known) == 0


def wall(distance, shape=(20, 30)):
    return np.full(shape, float(distance))


def pose(x=0.0, z=0.0):
    matrix = np.eye(4)
    matrix[0, 3], matrix[2, 3] = x, z
    return matrix


CAMERA = Intrinsics(fx=25.0, fy=25.0, cx=14.5, cy=9.5)


def test_tae_of_a_still_wall_is_zero_however_the_camera_moves():
    depths = np.stack([wall(5), wall(4), wall(3)])
    poses = np.stack([pose(), pose(0.2, 1), pose(-0.1, 2)])
    known = np.ones(depths.shape, bool)
    assert temporal_alignment_error(depths, known, poses, CAMERA) < 1e-12


def test_tae_is_the_relative_jump_of_a_flickering_wall():
    depths = np.stack([wall(4), wall(5), wall(4)])
    known = np.ones(depths.shape, bool)
    still = np.stack([pose()] * 3)
    got = temporal_alignment_error(depths, known, still, CAMERA)
    # 4 carried onto 5 is off by 1/5, 5 onto 4 by 1/4.
    np.testing.assert_allclose(got, 100 * (0.2 + 0.25) / 2, rtol=1e-12)


def test_tae_keeps_the_nearer_of_two_points_and_drops_those_behind():
    # The camera backs away from two walls at 2 and 8 m; some pixels of both meet.
    near = np.where(np.arange(30) < 15, 2.0, 8.0)
    first = np.broadcast_to(near, (20, 30))
    moved = first + 4.0
    depths = np.stack([first, moved])
    known = np.ones(depths.shape, bool)
    poses = np.stack([pose(), pose(0, -4)])
    known[1] = False
    known[1, :, 7:14] = True  # where the near wall is seen from behind
    got = temporal_alignment_error(depths, known, poses, CAMERA)
    assert got < 1e-12
    beyond = np.stack([pose(), pose(0, 3)])  # the near wall is now behind
    only_far = np.stack([np.broadcast_to(near, (20, 30)), wall(5)])
    known[:] = True
    assert temporal_alignment_error(only_far, known, beyond, CAMERA) > 0


def test_tae_refuses_what_it_cannot_compare():
    known = np.ones((2, 20, 30), bool)
    with pytest.raises(ValueError, match="1 frame"):
        temporal_alignment_error(wall(1)[None], known[:1], pose()[None], CAMERA)
    apart = np.stack([pose(), pose(100.0)])
    with pytest.raises(ValueError, match="frames 0 and 1 share no pixel"):
        temporal_alignment_error(np.stack([wall(1)] * 2), known, apart, CAMERA)


@pytest.fixture
def pairs(tmp_path):
    """Write a DA-2K of three pictures in the published layout."""
    entries = {
        "images/indoor/a.png": [
            {"point1": [1, 2], "point2": [3, 9], "closer_point": "point1"},
            {"point1": [0, 9], "point2": [5, 0], "closer_point": "point2"},
        ],
        "images/indoor/b.png": [
            {"point1": [5, 5], "point2": [0, 0], "closer_point": "point1"}
        ],
        "images/aerial/c.png": [
            {"point1": [2, 0], "point2": [2, 1], "closer_point": "point1"}
        ],
    }
    for name in entries:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 6)).save(path)
    (tmp_path / "annotations.json").write_text(json.dumps(entries))
    return tmp_path


def depth(values, kind="inverse_depth"):
    return DepthMap(values, kind, "m" if kind == "metric_depth" else None)


def judge(root, depth):
    data = da2k.DA2K(root)
    return da2k.accuracies(
        (image.scene, da2k.count_correct(depth, image), len(image.pairs))
        for image in data.images
    )


def test_da2k_counts_pairs_not_scenes(pairs):
    # Nearer to the left: the first pair, the second (closer is point2) and the last
    # are right, the picture b is wrong.
    ramp = np.broadcast_to(-np.arange(10.0), (6, 10))
    want = {"indoor": 2 / 3, "aerial": 1.0, "all": 3 / 4}
    assert judge(pairs, depth(ramp)) == want
    assert judge(pairs, depth(1 - ramp, "metric_depth")) == want
    assert list(judge(pairs, depth(ramp))) == ["indoor", "aerial", "all"]


@pytest.mark.parametrize("kind", ["inverse_depth", "depth", "metric_depth"])
def test_da2k_of_a_constant_is_zero(pairs, kind):
    assert set(judge(pairs, depth(np.ones((6, 10)), kind)).values()) == {0}


def test_da2k_reads_pictures_and_names_what_is_wrong(pairs):
    data = da2k.DA2K(pairs)
    assert data.read(0).shape == (6, 10, 3)
    Image.new("RGB", (5, 6)).save(pairs / "images/indoor/a.png")
    with pytest.raises(SampleError, match=r"indoor/a.png: point \(3, 9\) lies outside"):
        data.read(0)
    (pairs / "images/indoor/a.png").unlink()
    with pytest.raises(SampleError, match=r"indoor/a.png: .*does not exist"):
        data.read(0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "lists no pictures"),
        ('{"a.png": []}', "'a.png', whose folder is none of the scenes"),
        ('{"indoor/a.png": []}', "has no pairs"),
        ('{"indoor/a.png": [{"point1": [0, 1]}]}', "is not point1, point2"),
    ],
)
def test_da2k_refuses_other_annotations(tmp_path, text, sentence):
    with pytest.raises(DatasetError, match=r"annotations\.json cannot be read"):
        da2k.DA2K(tmp_path)
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        da2k.DA2K(tmp_path)
