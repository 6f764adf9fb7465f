"""Files of three dimensions, read back by other libraries and held against geometry."""

import av
import numpy as np
import plyfile
import pygltflib
import pytest
import ray_caster
import trimesh
from PIL import Image

from jax_depth.depth_map import DepthMap
from jax_depth.outputs import scene
from jax_depth.outputs.scene.surface import lift

HEIGHT, WIDTH = ray_caster.HEIGHT, ray_caster.WIDTH
# What one pixel covers at the box, 3 m away.
PIXEL = 3 / ray_caster.FOCAL


def metric(values, max_depth=None):
    return DepthMap(np.asarray(values, np.float32), "metric_depth", "m", "", max_depth)


def smooth_photo(height=HEIGHT, width=WIDTH):
    """Red grows to the right and green downwards, which no JPEG disturbs."""
    rows, columns = np.mgrid[:height, :width]
    red, green = 250 * columns / (width - 1), 250 * rows / (height - 1)
    return np.stack([red, green, np.full_like(red, 90)], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def room():
    """Return the rendered box on its floor."""
    depth, _ = ray_caster.cast()
    camera = scene.camera_from_focal((HEIGHT, WIDTH), ray_caster.FOCAL)
    return scene.Scene(smooth_photo(), metric(depth), camera, "room 1")


@pytest.fixture(scope="module")
def folder(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    for name, form in scene.SCENE_FORMATS.items():
        if name != "parallax":  # a test of its own
            scene.save(room, folder / f"room{form.ending}", name)
    return folder


def read_points(folder, name):
    """Return positions and sRGB colours as plyfile or pygltflib reads them."""
    if name == "ply":
        vertices = plyfile.PlyData.read(folder / "room_points.ply")["vertex"]
        columns = [np.stack([vertices[c] for c in names], -1) for names in _COLUMNS]
        return columns[0], columns[1] / 255
    gltf = pygltflib.GLTF2().load(str(folder / "room_points.glb"))
    primitive = gltf.meshes[0].primitives[0]
    assert primitive.mode == pygltflib.POINTS
    points = accessor(gltf, primitive.attributes.POSITION, np.float32, 3)
    linear = accessor(gltf, primitive.attributes.COLOR_0, np.uint16, 4)[:, :3] / 65535
    # IEC 61966-2-1, the other way.
    srgb = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return points, srgb


_COLUMNS = (("x", "y", "z"), ("red", "green", "blue"))


def accessor(gltf, index, dtype, width):
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, dtype).reshape(accessor.count, width)


@pytest.mark.parametrize("name", ["ply", "glb-points"])
def test_points_lie_where_the_scene_is_in_the_photos_colours(folder, name):
    points, colors = read_points(folder, name)
    assert len(points) > 0.98 * HEIGHT * WIDTH
    assert ray_caster.distance_to_surfaces(points).max() < 1e-5
    # The camera looks along -z, x to the right, y up: project the points back.
    columns = ray_caster.FOCAL * points[:, 0] / -points[:, 2] + (WIDTH - 1) / 2
    rows = ray_caster.FOCAL * -points[:, 1] / -points[:, 2] + (HEIGHT - 1) / 2
    places = np.rint(rows).astype(int), np.rint(columns).astype(int)
    assert np.abs(rows - places[0]).max() < 1e-3
    # 16 bits of linear light, at its steepest 12.92 times as coarse.
    np.testing.assert_allclose(colors, smooth_photo()[places] / 255, atol=1e-4)


def test_the_box_has_its_size_and_stands_as_it_stands(folder):
    mesh = trimesh.load(folder / "room_mesh.glb", force="mesh")
    local = (mesh.vertices - ray_caster.BOX_CENTRE) @ ray_caster.BOX_AXES
    on_box = (np.abs(local) < ray_caster.BOX_SIZE / 2 + 1e-4).all(axis=1)
    # The floor is below the box and the wall behind it, so this is the box alone.
    extent = np.ptp(local[on_box], axis=0)
    np.testing.assert_allclose(extent[:2], ray_caster.BOX_SIZE[:2], atol=2 * PIXEL)
    # Its front is seen whole and, turned to the right, its side; the top from above.
    front = np.abs(local[:, 2] - ray_caster.BOX_SIZE[2] / 2) < 1e-4
    assert (front & on_box).sum() > 500
    assert np.isclose(mesh.vertices[:, 1].min(), ray_caster.FLOOR, atol=1e-5)
    assert np.isclose(mesh.vertices[:, 2].min(), ray_caster.WALL, atol=1e-5)


def test_no_curtain_hangs_between_box_and_wall(room, folder):
    mesh = trimesh.load(folder / "room_mesh.glb", force="mesh")
    # In the middle of a triangle that bridges a jump there is nothing; one that rounds
    # the corner of floor and wall is off by a third of its pixel.
    assert ray_caster.distance_to_surfaces(mesh.triangles_center).max() < PIXEL
    hung = lift(room.depth, room.photo, room.camera, edge_angle=0)
    middle = hung.points[hung.triangles].mean(axis=1)
    assert ray_caster.distance_to_surfaces(middle).max() > 0.3
    lost = 1 - len(mesh.faces) / len(hung.triangles)
    assert 0 < lost < 0.03


def test_flying_pixels_are_dropped_and_a_slanted_floor_is_not():
    """Blurred by five pixels, as a network's edges are: nothing is left in between."""
    steps = np.concatenate([np.full(40, 1.0), np.linspace(1, 3, 7)[1:-1]])
    depth = metric(np.tile(np.concatenate([steps, np.full(40, 3.0)]), (30, 1)))
    photo = np.zeros((*depth.shape, 3), np.uint8)
    camera = scene.camera_from_focal(depth.shape, 300)
    z = -lift(depth, photo, camera).points[:, 2]
    assert set(np.unique(z)) == {1.0, 3.0}
    # A floor 1.5 m below, up to 25 m away, at the resolution of a photo.
    rows = np.arange(60, 400)
    floor = metric(np.repeat((1000 * 1.5 / rows)[:, None], 3, 1))
    camera = scene.camera_from_focal(floor.shape, 1000, cy=-60)
    kept = lift(floor, np.zeros((340, 3, 3), np.uint8), camera)
    assert len(kept.points) == floor.values.size


def test_the_mesh_faces_the_camera_and_wears_the_photo(folder):
    loaded = trimesh.load(folder / "room_mesh.glb", force="mesh")
    facing = np.einsum("ij,ij->i", loaded.face_normals, loaded.triangles_center)
    assert facing.max() < 0
    texture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB"))
    assert texture.shape == (HEIGHT, WIDTH, 3)
    # trimesh counts v from below.
    u, v = loaded.visual.uv[:, 0], 1 - loaded.visual.uv[:, 1]
    found = texture[(v * HEIGHT).astype(int), (u * WIDTH).astype(int)].astype(int)
    x, y, z = loaded.vertices.T
    columns = ray_caster.FOCAL * x / -z + (WIDTH - 1) / 2
    rows = ray_caster.FOCAL * y / z + (HEIGHT - 1) / 2
    places = np.rint(rows).astype(int), np.rint(columns).astype(int)
    assert np.abs(found - smooth_photo()[places]).max() <= 4  # JPEG

    gltf = pygltflib.GLTF2().load(str(folder / "room_mesh.glb"))
    assert gltf.extensionsUsed == ["KHR_materials_unlit"]
    view = gltf.cameras[0].perspective
    assert np.isclose(np.tan(view.yfov / 2) * ray_caster.FOCAL, HEIGHT / 2)
    assert np.isclose(view.aspectRatio, WIDTH / HEIGHT)
    assert gltf.asset.extras["fx"] == ray_caster.FOCAL
    position = gltf.accessors[gltf.meshes[0].primitives[0].attributes.POSITION]
    np.testing.assert_array_equal(position.min, loaded.vertices.min(0))
    np.testing.assert_array_equal(position.max, loaded.vertices.max(0))


def test_colmap_model_projects_onto_its_own_observations(room, folder):
    """Read as https://colmap.github.io/format.html says."""
    root = folder / "room_colmap"
    model = root / "sparse" / "0"

    def lines(name):
        text = (model / name).read_text().splitlines()
        return [line.split() for line in text if not line.startswith("#")]

    (camera,) = lines("cameras.txt")
    assert camera[:4] == ["1", "PINHOLE", str(WIDTH), str(HEIGHT)]
    fx, fy, cx, cy = map(float, camera[4:])
    image, seen = lines("images.txt")
    assert image == ["1", "1", *"000000", "1", "room_1.png"]
    picture = np.asarray(Image.open(root / "images" / image[-1]))
    np.testing.assert_array_equal(picture, room.photo)
    seen = np.array(seen, float).reshape(-1, 3)
    points = np.array(lines("points3D.txt"), float)
    np.testing.assert_array_equal(points[:, 0], seen[:, 2])
    x, y, z = points[:, 1:4].T
    np.testing.assert_allclose(fx * x / z + cx, seen[:, 0], atol=1e-3)
    np.testing.assert_allclose(fy * y / z + cy, seen[:, 1], atol=1e-3)
    # Pixel centres are at one half: the upper left one is (0.5, 0.5).
    colors = picture[tuple((seen[:, 1::-1] - 0.5).astype(int).T)]
    np.testing.assert_array_equal(points[:, 4:7], colors)
    np.testing.assert_array_equal(points[:, 8], 1)
    np.testing.assert_array_equal(points[:, 9], np.arange(len(points)))


def test_colmap_itself_reads_the_model(folder):
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction(str(folder / "room_colmap" / "sparse" / "0"))
    assert model.num_points3D() > 40_000
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-3


def test_normals_of_a_slanted_plane(tmp_path):
    camera = scene.camera_from_view((60, 80), 70)
    # n . p = -2, seen from the origin; n faces the camera, tilted up and to the right.
    n = np.array([0.3, 0.5, 0.9]) / np.linalg.norm([0.3, 0.5, 0.9])
    x = (np.arange(80) - camera.cx) / camera.fx
    y = -(np.arange(60) - camera.cy) / camera.fy
    rays = np.stack(np.broadcast_arrays(x, y[:, None], -1.0), -1)
    depth = metric(-2 / (rays @ n))
    found = scene.normals(depth, camera)
    np.testing.assert_allclose(found, np.broadcast_to(n, found.shape), atol=2e-4)
    whole = scene.Scene(np.zeros((60, 80, 3), np.uint8), depth, camera)
    scene.save(whole, tmp_path / "n.png", "normals")
    picture = np.asarray(Image.open(tmp_path / "n.png"))
    assert np.abs(picture - 127.5 * (n + 1)).max() <= 1
    flat = scene.normal_map(metric(np.ones((3, 3))), camera)
    np.testing.assert_array_equal(flat, np.broadcast_to([128, 128, 255], (3, 3, 3)))
    # A rough map, whose single differences say little.
    rough = np.random.default_rng(0).normal(1, 0.003, (60, 80))
    noisy = scene.normals(metric(depth.values * rough), camera)
    assert np.degrees(np.arccos(noisy @ n)).mean() < 4  # of central differences: 7.1


def test_normals_keep_edges_and_leave_out_what_is_unknown(room):
    """Of the rendered box: each pixel's is that of its own face, up to the edge."""
    found = scene.normals(room.depth, room.camera)
    _, what = ray_caster.cast()
    for surface, want in ((1, [0, 1, 0]), (2, [0, 0, 1])):
        angle = np.degrees(np.arccos(np.clip(found @ want, -1, 1)))[what == surface]
        assert np.median(angle) < 0.01 and (angle > 5).mean() < 0.03
    faces = found[what == 0] @ ray_caster.BOX_AXES
    assert np.median(1 - faces.max(axis=1)) < 1e-6
    values = room.depth.values.copy()
    values[:, 100] = 0  # nowhere
    found = scene.normals(metric(values), room.camera)
    np.testing.assert_array_equal(found[:, 100], np.tile([0, 0, 1], (HEIGHT, 1)))
    wall = found[:30, :100] @ [0, 0, 1]
    assert wall.min() > 1 - 1e-6


@pytest.mark.parametrize("kind", ["inverse_depth", "metric_depth"])
def test_near_things_move_right_for_the_left_eye(kind):
    """A white square before a gray wall with a black line; parallax of 10 pixels."""
    inverse = np.full((50, 100), 0.25, np.float32)
    inverse[20:30, 40:60] = 1.0
    photo = np.full((50, 100, 3), 100, np.uint8)
    photo[:, 10] = 0
    photo[20:30, 40:60] = 255
    unit = "m" if kind == "metric_depth" else None
    depth = DepthMap(inverse if unit is None else 1 / inverse, kind, unit)
    left, right = scene.stereo_pair(photo, depth, parallax=0.1)
    # Half of 10 pixels each eye, of which half before and half behind the screen.
    for eye, move in ((left, 2.5), (right, -2.5)):
        bright = np.flatnonzero(eye[25, :, 0] > 177)
        assert abs(bright.mean() - (49.5 + move)) <= 0.5
        assert 19 <= len(bright) <= 21
        dark = np.argmin(eye[5, :, 0])
        assert abs(dark - (10 - move)) <= 0.5
        # What comes into view is wall, not stretched square.
        assert set(np.unique(eye[25, 66:])) == {100}
    glasses = scene.anaglyph(photo, depth, parallax=0.1)
    np.testing.assert_array_equal(glasses[..., 1:], right[..., 1:])
    np.testing.assert_array_equal(glasses[..., 0], left[..., 0])  # grey: luma is grey


def test_the_swaying_view_is_a_video_that_closes(tmp_path):
    """Read back by PyAV: from the photo to the left eye, the right eye and back."""
    photo = np.full((64, 128, 3), 60, np.uint8)
    photo[20:40, 48:80] = 230
    inverse = np.where(photo[..., 0] > 100, 1.0, 0.0).astype(np.float32)
    whole = scene.Scene(
        photo,
        DepthMap(inverse, "inverse_depth"),
        scene.camera_from_view((64, 128), 60),
        parallax=0.1,
    )
    scene.save(whole, tmp_path / "a.mp4", "parallax")
    with av.open(str(tmp_path / "a.mp4")) as film:
        frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
        assert film.duration == pytest.approx(3e6, rel=0.02)
    assert len(frames) == 90 and frames[0].shape == photo.shape
    assert np.abs(frames[0][30].astype(int) - photo[30]).mean() < 6  # H.264
    middle = [np.flatnonzero(f[30, :, 0] > 145).mean() for f in frames]
    # Half the parallax of 12.8 pixels to either side, near things half of that.
    moved = 63.5 + 3.2 * np.sin(2 * np.pi * np.arange(90) / 90)
    assert np.abs(middle - moved).max() < 1


def test_a_constant_map_moves_everything_alike():
    photo = smooth_photo(8, 200)
    depth = DepthMap(np.full((8, 200), 3.0), "inverse_depth")
    left, right = (eye.astype(int) for eye in scene.stereo_pair(photo, depth))
    # A constant map is shown as far, so both eyes see the photo moved as a whole.
    errors = [
        np.abs(left[:, 20 + d : 180 + d] - right[:, 20:180]).mean()
        for d in range(-15, 16)
    ]
    assert min(errors) < 1 and np.argmin(errors) != 15


def test_large_photos_are_thinned_to_the_frame():
    depth = metric(np.full((300, 400), 2.0))
    camera = scene.camera_from_view(depth.shape, 60)
    surface = lift(depth, np.zeros((300, 400, 3), np.uint8), camera, max_points=1000)
    assert 800 <= len(surface.points) <= 1000
    np.testing.assert_array_equal(surface.pixels.min(0), [0, 0])
    np.testing.assert_array_equal(surface.pixels.max(0), [399, 299])


def test_what_is_unknown_or_saturated_is_left_out():
    values = np.full((10, 12), 2.0)
    values[0, 0], values[9, 11], values[0, 11] = np.nan, np.inf, 0.0
    values[:, 6:9] = 19.9  # the sky of a model that saturates at 20
    camera = scene.camera_from_view((10, 12), 60)
    photo = np.zeros((10, 12, 3), np.uint8)
    surface = lift(metric(values, 20.0), photo, camera)
    assert set(-surface.points[:, 2]) == {2.0}
    assert len(surface.points) == 120 - 30 - 3
    assert len(lift(metric(values), photo, camera, max_depth=5).points) == 87


def test_a_relative_map_between_near_and_far():
    values = np.array([[8.0, 2.0], [4.0, 2.0]], np.float32)
    found = scene.between(DepthMap(values, "inverse_depth"), 1.0, 4.0)
    # 1/z = 1/8 value, in this case without shift.
    np.testing.assert_allclose(found.values, 8 / values, rtol=1e-6)
    found = scene.between(DepthMap(values, "depth"), 1.0, 4.0)
    np.testing.assert_allclose(found.values, values / 2, rtol=1e-6)
    # The farthest point, at the limit that was stated, is shown.
    photo, camera = np.zeros((2, 2, 3), np.uint8), scene.camera_from_view((2, 2), 60)
    assert lift(found, photo, camera, edge_angle=0).points[:, 2].min() == -4


def test_mistakes_are_sentences(room, tmp_path):
    camera, photo = room.camera, room.photo
    relative = DepthMap(room.depth.values, "inverse_depth")
    for wrong in (lambda: lift(relative, photo, camera), lambda: normals(relative)):
        with pytest.raises(ValueError, match="inverse_depth of unknown scale"):
            wrong()
    with pytest.raises(ValueError, match="is 240x180 but its depth 2x1"):
        lift(metric([[1, 1]]), photo, camera)
    with pytest.raises(ValueError, match=r"nothing nearer than 0\.5 m"):
        lift(room.depth, photo, camera, max_depth=0.5)
    with pytest.raises(ValueError, match="edge angle 90"):
        lift(room.depth, photo, camera, edge_angle=90)
    with pytest.raises(ValueError, match="near 3 and far 2 must be 0 < near < far"):
        scene.between(relative, 3, 2)
    with pytest.raises(ValueError, match="in metres already"):
        scene.between(room.depth, 1, 2)
    with pytest.raises(ValueError, match=r"parallax 0\.5"):
        scene.stereo_pair(photo, relative, 0.5)
    with pytest.raises(ValueError, match="format 'stl' is unknown; known: glb"):
        scene.save(room, tmp_path / "a.stl")
    scene.save(room, tmp_path / "a.glb")
    before = (tmp_path / "a.glb").read_bytes()
    with pytest.raises(ValueError, match="unknown scale"):
        wrong = scene.Scene(photo, relative, camera)
        scene.save(wrong, tmp_path / "a.glb")
    assert [p.name for p in tmp_path.iterdir()] == ["a.glb"]
    assert (tmp_path / "a.glb").read_bytes() == before


def normals(depth):
    return scene.normals(depth, scene.camera_from_view(depth.shape, 60))
