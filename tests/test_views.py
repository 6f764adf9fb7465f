"""Several pictures of one place: `Estimator.views`, `Views` and its files."""

import dataclasses
import functools

import depth_anything_3_oracle as oracle
import jax
import numpy as np
import plyfile
import pytest
import trimesh
from test_depth_anything_3 import living_params

import jax_depth
from jax_depth.camera import Intrinsics, Pose, back_project
from jax_depth.depth_map import DepthMap
from jax_depth.inference import bounded
from jax_depth.inference.views import in_metres
from jax_depth.models.output import Output
from jax_depth.views import Views

# Compiling is nearly all they do.
pytestmark = pytest.mark.usefixtures("cheap_programs")

SIZE = 56


def _served(config):
    return dataclasses.replace(config, image_size=SIZE, resample="upper_bound_resize")


METRIC = dataclasses.replace(_served(oracle.MONO), canonical_focal=300.0)


@functools.cache
def _estimator():
    config = _served(oracle.ANY_VIEW)
    params = living_params(oracle.ANY_VIEW)
    return jax_depth.Estimator(params, config, devices=jax.devices()[:1])


@functools.cache
def _metric():
    params = living_params(oracle.MONO)
    return jax_depth.Estimator(params, METRIC, devices=jax.devices()[:1])


def _photos(count=2, height=60, width=80, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def _poses(count, seed=0):
    """Return poses; the first is not the world's frame."""
    rng = np.random.default_rng(seed)
    poses = []
    for _ in range(count):
        turn, _ = np.linalg.qr(np.eye(3) + 0.1 * rng.standard_normal((3, 3)))
        turn = turn * np.sign(np.diag(turn))
        poses.append(np.column_stack([turn, rng.standard_normal(3)]))
    return poses


@pytest.mark.slow
def test_views_are_the_networks_output_in_each_photos_pixels():
    estimator, photos = _estimator(), _photos()
    views = estimator.views(photos)
    pixels = np.stack([estimator.prepare(photo)[0] for photo in photos])[None]
    assert pixels.shape == (1, 2, 42, 56, 3)
    output = jax_depth.apply(estimator.params, pixels, estimator.config)
    assert views.reference == 0 and len(views) == 2
    for i, (depth, camera, pose) in enumerate(
        zip(views.depths, views.cameras, views.poses, strict=True)
    ):
        assert depth.shape == (60, 80)
        assert (depth.kind, depth.unit) == ("depth", None)
        assert depth.confidence.shape == (60, 80) and depth.confidence.min() > 1
        # A map of half-pixel corners keeps its mean nearly, and its range.
        own = np.asarray(output.depth[0, i])
        assert own.min() <= depth.values.min() and depth.values.max() <= own.max()
        matrix = np.asarray(output.intrinsics[0, i])
        assert camera.fx == pytest.approx(matrix[0, 0] * 80 / 56, rel=1e-4)
        assert camera.fy == pytest.approx(matrix[1, 1] * 60 / 42, rel=1e-4)
        # The middle of the picture, counted from the first pixel's centre.
        assert (camera.cx, camera.cy) == pytest.approx((39.5, 29.5), rel=1e-5)
        given = np.asarray(output.extrinsics[0, i])
        assert np.allclose(pose.world_to_camera, given, atol=1e-4)


@pytest.mark.slow
def test_reference_is_chosen_and_reported():
    photos = _photos(3)
    assert _estimator().views(photos, reference="middle").reference == 1
    assert _estimator().views(photos, reference="first").reference == 0


@pytest.mark.slow
def test_known_cameras_guide_the_network_and_are_returned():
    photos, poses = _photos(3), _poses(3)
    camera = Intrinsics(70.0, 72.0, 39.5, 29.5)
    free = _estimator().views(photos)
    views = _estimator().views(
        photos, cameras=[camera, camera.matrix, camera], poses=poses
    )
    assert views.cameras == [camera] * 3
    assert all(
        np.array_equal(pose.world_to_camera, given)
        for pose, given in zip(views.poses, poses, strict=True)
    )
    assert not np.allclose(views.depths[0].values, free.depths[0].values, rtol=1e-2)

    # Poses three times as far apart: the same depth in a three times smaller unit.
    far = [np.column_stack([p[:, :3], 3 * p[:, 3]]) for p in poses]
    wide = _estimator().views(photos, cameras=[camera] * 3, poses=far)
    ratio = wide.depths[0].values / views.depths[0].values
    assert np.allclose(ratio, 3, rtol=1e-3)


def test_one_view_takes_a_camera_alone():
    (photo,) = _photos(1)
    views = _estimator().views([photo], cameras=[Intrinsics(70, 70, 39.5, 29.5)])
    assert views.poses[0] == Pose.identity()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"images": "a.jpg"}, "list"),
        ({"images": []}, "empty"),
        ({"cameras": [np.eye(3)] * 2}, "poses"),
        ({"poses": _poses(2)}, "cameras"),
        ({"cameras": [np.eye(3)], "poses": _poses(2)}, "2 pictures and 1 cameras"),
        ({"cameras": [np.eye(4)] * 2, "poses": _poses(2)}, r"\(4, 4\).*Intrinsics"),
        ({"reference": "best"}, "saddle_balanced"),
        ({"fit": "stretch"}, "'crop'"),
        ({"images": [*_photos(1), *_photos(1, 80, 60)]}, r"80 x 60.*60 x 80.*crop"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words, as_installed):
    arguments = {"images": _photos()} | arguments
    with pytest.raises(ValueError, match=words):
        _estimator().views(arguments.pop("images"), **arguments)


def test_models_of_single_pictures_have_no_views():
    with pytest.raises(ValueError, match="any-view"):
        _metric().views(_photos())


def test_pictures_of_two_sizes_are_cut_to_what_both_have():
    photos = [*_photos(1), *_photos(1, 80, 60)]
    views = _estimator().views(photos, fit="crop")
    tall = views.depths[1].values
    assert tall.shape == (80, 60)
    # 42 x 42 pixels of the network are 60 x 60 of the photo, in its middle.
    seen = np.isfinite(tall)
    assert seen[10:70].all() and not seen[:10].any() and not seen[70:].any()
    assert views.cameras[1].cy == pytest.approx(39.5, abs=0.1)
    points, _ = views.points(0.0)
    assert len(points) == 2 * 60 * 60 and np.isfinite(points).all()


def _plane_seen_twice() -> Views:
    """Return the plane z = 4 of the world from two places, and its true points."""
    camera = Intrinsics(50.0, 50.0, 19.5, 14.5)
    poses = [Pose.identity(), Pose(np.column_stack([np.eye(3), [0.5, 0.25, 1.0]]))]
    sure = np.tile(np.linspace(1.5, 3, 40, dtype=np.float32), (30, 1))
    depths = [
        DepthMap(np.full((30, 40), z, np.float32), "depth", confidence=sure)
        for z in (4.0, 5.0)
    ]
    photos = [np.full((30, 40, 3), c, np.uint8) for c in (60, 200)]
    return Views(depths, [camera] * 2, poses, 0, photos, ["left", "right"])


def test_points_stand_where_the_plane_is():
    views = _plane_seen_twice()
    points, colours = views.points(0.0)
    assert len(points) == 2 * 30 * 40
    assert np.allclose(points[:, 2], 4, atol=1e-5)
    expected = back_project(views.depths[1].values, views.cameras[1], views.poses[1])
    assert np.allclose(points[1200:], expected.reshape(-1, 3), atol=1e-5)
    assert set(colours[:1200].ravel()) == {60} and set(colours[1200:].ravel()) == {200}

    kept, _ = views.points()
    assert len(kept) == 2 * 30 * 24  # without the least confident two fifths
    sky = np.zeros((30, 40), np.float32)
    sky[:15] = 0.5
    first = dataclasses.replace(views.depths[0], sky=sky)
    views = dataclasses.replace(views, depths=[first, views.depths[1]])
    assert len(views.points(0.0)[0]) == 30 * 40 + 15 * 40
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        views.points(1.0)


def test_scenes_are_read_by_others(tmp_path):
    views = _plane_seen_twice()
    flip = [1, -1, -1]  # files of viewers have y up
    expected = views.points(0.0)[0] * flip

    views.save(tmp_path / "scene.ply", confidence=0.0)
    vertex = plyfile.PlyData.read(tmp_path / "scene.ply")["vertex"]
    found = np.stack([vertex[axis] for axis in "xyz"], 1)
    assert np.allclose(found, expected, atol=1e-5)

    views.save(tmp_path / "scene.glb", confidence=0.0, max_points=100)
    scene = trimesh.load(tmp_path / "scene.glb")
    (cloud,) = scene.geometry.values()
    assert len(cloud.vertices) == 100
    assert np.allclose(cloud.vertices[:, 2], -4, atol=1e-5)

    views.save(tmp_path / "colmap", confidence=0.0)
    cameras = (tmp_path / "colmap/sparse/0/cameras.txt").read_text().splitlines()
    cameras = [line.split() for line in cameras if not line.startswith("#")]
    # COLMAP counts from the corner.
    assert [float(x) for x in cameras[0][4:]] == [50, 50, 20, 15]
    assert (tmp_path / "colmap/images/right.png").is_file()
    points = (tmp_path / "colmap/sparse/0/points3D.txt").read_text().splitlines()
    points = np.array([line.split()[1:4] for line in points if line[0] != "#"], float)
    assert np.allclose(points, views.points(0.0)[0], atol=1e-4)
    with pytest.raises(FileExistsError, match="colmap"):
        views.save(tmp_path / "colmap")
    with pytest.raises(ValueError, match=r"scene\.obj.*COLMAP"):
        views.save(tmp_path / "scene.obj")


def test_npz_keeps_everything(tmp_path):
    views = _plane_seen_twice()
    views.save(tmp_path / "a.npz")
    again = Views.load(tmp_path / "a.npz")
    assert again.names == ("left", "right") and again.reference == 0
    assert again.cameras == views.cameras and again.poses == views.poses
    for one, other in zip(views.depths, again.depths, strict=True):
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.confidence, other.confidence)
    with pytest.raises(FileNotFoundError, match=r"b\.npz"):
        Views.load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", x=1)
    with pytest.raises(ValueError, match=r"c\.npz.*Views\.save"):
        Views.load(tmp_path / "c.npz")


def test_metres_come_by_one_scale_from_what_is_no_sky():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 9, (2, 20, 30)).astype(np.float32)
    confidence = rng.uniform(1, 3, truth.shape).astype(np.float32)
    sky = np.zeros_like(truth)
    sky[:, :5] = 1
    intrinsics = np.tile(np.diag([600.0, 300.0, 1.0]), (2, 1, 1)).astype(np.float32)
    extrinsics = np.tile(np.eye(3, 4), (2, 1, 1)).astype(np.float32)
    extrinsics[1, :, 3] = 1, 2, 3
    output = Output(
        truth / 5, confidence=confidence, extrinsics=extrinsics, intrinsics=intrinsics
    )
    # At 300 pixels of focal length a metric model's depth is metres; here it is 450.
    seen = truth / 1.5
    seen[:, :5] = 1000
    result, found = in_metres(output, Output(seen, sky=sky), METRIC)
    assert np.allclose(result.depth, truth, rtol=1e-5)
    assert np.allclose(result.extrinsics[1, :, 3], [5, 10, 15], rtol=1e-5)
    assert found is sky or np.array_equal(found, sky)
    with pytest.raises(ValueError, match="sky"):
        in_metres(output, Output(seen, sky=np.ones_like(sky)), METRIC)


@pytest.mark.slow
def test_a_metric_model_and_a_nested_one_bring_metres():
    photos = _photos()
    free = _estimator().views(photos)
    views = _estimator().views(photos, metric=_metric())
    assert {depth.unit for depth in views.depths} == {"m"}
    assert views.depths[0].sky.shape == (60, 80)
    ratio = views.depths[0].values / free.depths[0].values
    assert ratio.std() / ratio.mean() < 1e-4
    moved = views.poses[1].translation / free.poses[1].translation
    assert np.allclose(moved, ratio.mean(), rtol=1e-3)

    config = dataclasses.replace(_served(oracle.ANY_VIEW), metric=METRIC)
    params = living_params(oracle.ANY_VIEW) | {"metric": living_params(oracle.MONO)}
    # On all devices, of which two take a view each.
    nested = jax_depth.Estimator(params, config).views(photos)
    assert np.allclose(nested.depths[0].values, views.depths[0].values, rtol=1e-4)
    with pytest.raises(ValueError, match="focal"):
        _estimator().views(photos, metric=_estimator())


@pytest.mark.parametrize(
    ("size", "method", "expected"),
    [
        ((480, 640), "upper_bound_resize", (378, 504)),
        ((1080, 1920), "upper_bound_resize", (280, 504)),
        ((1080, 1920), "lower_bound_crop", (504, 896)),
        ((500, 700), "upper_bound_crop", (350, 504)),
        ((377, 504), "upper_bound_resize", (378, 504)),
        ((376, 504), "upper_bound_crop", (364, 504)),
        ((680, 1208), "lower_bound_crop", (504, 882)),
        ((100, 2000), "upper_bound_resize", (28, 504)),
    ],
)
def test_pictures_reach_the_network_at_the_authors_sizes(size, method, expected):
    assert bounded.plan(*size, 504, 14, method).final == expected


@pytest.mark.parametrize("size", [(30, 44), (20, 30), (37, 56), (60, 90)])
def test_pictures_shrink_as_opencvs_area(size):
    cv2 = pytest.importorskip("cv2")
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    expected = cv2.resize(photo, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.array_equal(bounded.resize_area(photo, size), expected)
