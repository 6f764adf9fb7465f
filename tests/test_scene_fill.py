"""What is behind objects, on a rendered scene whose hidden parts are known."""

import functools
import sys

import cv2
import numpy as np
import pytest
import ray_caster
import trimesh

from jax_depth.cli.main import main
from jax_depth.depth_map import DepthMap
from jax_depth.outputs import scene
from jax_depth.outputs.scene.fill import behind
from jax_depth.outputs.scene.stereo import swaying
from jax_depth.outputs.scene.surface import lift

SHAPE = ray_caster.HEIGHT, ray_caster.WIDTH
# Metres before the camera, of what it turns around: the middle of the box.
PIVOT = -float(ray_caster.BOX_CENTRE[2])


def paint(points, what):
    """Return the colours of surfaces: smooth on each, and other on the next."""
    base = np.array([[200, 60, 40], [60, 120, 60], [70, 90, 170]], float)[what]
    return base + 25 * np.sin(2 * points[..., :1]) + 20 * np.cos(3 * points[..., 1:2])


def rays(degrees):
    """Return origin and directions of a camera that has turned about the box."""
    angle = np.radians(degrees)
    turn = np.array(
        [
            [np.cos(angle), 0, np.sin(angle)],
            [0, 1, 0],
            [-np.sin(angle), 0, np.cos(angle)],
        ]
    )
    pivot = np.array([0, 0, -PIVOT])
    x = (np.arange(SHAPE[1]) - (SHAPE[1] - 1) / 2) / ray_caster.FOCAL
    y = -(np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2) / ray_caster.FOCAL
    ahead = np.stack(np.broadcast_arrays(x, y[:, None], -1.0), axis=-1)
    return turn @ -pivot + pivot, ahead @ turn.T, turn


@functools.cache
def truth(degrees):
    """Return where the rays of a turned camera end, on what, and its colours."""
    origin, ahead, _ = rays(degrees)
    local, start = ahead @ ray_caster.BOX_AXES, (origin - ray_caster.BOX_CENTRE)
    start = start @ ray_caster.BOX_AXES
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = ((s * ray_caster.BOX_SIZE / 2 - start) / local for s in (-1, 1))
        enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
        box = np.where((enter <= leave) & (enter > 0), enter, np.inf)
        floor = (ray_caster.FLOOR - origin[1]) / ahead[..., 1]
        wall = (ray_caster.WALL - origin[2]) / ahead[..., 2]
    others = [np.where(t > 0, t, np.inf) for t in (floor, wall)]
    distances = np.stack([box, *others])
    what = distances.argmin(0)
    ends = origin + distances.min(0)[..., None] * ahead
    return ends, what, paint(ends, what)


def room(fill):
    """Return the surface of the photo, taken from where it was not turned."""
    ends, _, colors = truth(0)
    depth = DepthMap(-ends[..., 2].astype(np.float32), "metric_depth")
    camera = scene.camera_from_focal(SHAPE, ray_caster.FOCAL)
    photo = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    return lift(depth, photo, camera, fill=fill)


def drawn(surface, degrees):
    """Return the colours a turned camera sees of a surface; NaN where it has a hole."""
    flip = np.array([1, -1, -1])
    layers = [(surface.points, surface.colors, surface.triangles)]
    if surface.behind:
        behind = surface.behind
        layers.append((behind.points * flip, behind.colors, behind.triangles))
    origin, _, turn = rays(degrees)
    depth, picture = np.full(SHAPE, np.inf), np.full((*SHAPE, 3), np.nan)
    # Triangles as dense points: no hole is left between them at this size.
    u, v = (grid.ravel() for grid in np.mgrid[0:1:6j, 0:1:6j])
    u, v = u[u + v <= 1], v[u + v <= 1]
    weights = np.stack([1 - u - v, u, v])
    for points, colors, triangles in layers:
        where = np.einsum("kw,tkx->twx", weights, points[triangles]).reshape(-1, 3)
        color = np.einsum("kw,tkx->twx", weights, colors[triangles].astype(float))
        seen = (where - origin) @ turn
        z = -seen[:, 2]
        x = np.rint(ray_caster.FOCAL * seen[:, 0] / z + (SHAPE[1] - 1) / 2).astype(int)
        y = np.rint(-ray_caster.FOCAL * seen[:, 1] / z + (SHAPE[0] - 1) / 2).astype(int)
        inside = (z > 0) & (x >= 0) & (x < SHAPE[1]) & (y >= 0) & (y < SHAPE[0])
        order = np.argsort(-z[inside], kind="stable")  # the nearest is written last
        x, y, z = (value[inside][order] for value in (x, y, z))
        nearer = z < depth[y, x]
        depth[y[nearer], x[nearer]] = z[nearer]
        picture[y[nearer], x[nearer]] = color.reshape(-1, 3)[inside][order][nearer]
    return picture


def holes_and_error(surface, degrees):
    """Return the share of holes, and the mean error of colours behind objects, of 255.

    Of what lies within the photo's own view: no photo shows what is outside.
    """
    ends, _, colors = truth(degrees)
    x = ray_caster.FOCAL * ends[..., 0] / -ends[..., 2] + (SHAPE[1] - 1) / 2
    y = -ray_caster.FOCAL * ends[..., 1] / -ends[..., 2] + (SHAPE[0] - 1) / 2
    inside = (x > 0) & (x < SHAPE[1] - 1) & (y > 0) & (y < SHAPE[0] - 1)
    # Hidden from where the photo was taken.
    at = np.rint(y).clip(0, SHAPE[0] - 1).astype(int)
    at = at, np.rint(x).clip(0, SHAPE[1] - 1).astype(int)
    hidden = inside & (-ends[..., 2] > -truth(0)[0][at][..., 2] * 1.05)
    seen = drawn(surface, degrees)
    hole = np.isnan(seen).any(-1)
    error = np.abs(seen - colors).mean(-1)[hidden & ~hole]
    return hole[inside].mean(), error.mean() if error.size else np.nan, hidden.mean()


@pytest.fixture(scope="module")
def rooms():
    return room(fill=False), room(fill=True)


@pytest.mark.parametrize("degrees, most", [(5, 0.001), (10, 0.002), (20, 0.006)])
def test_turning_opens_no_holes(rooms, degrees, most):
    plain, filled = (holes_and_error(surface, degrees) for surface in rooms)
    assert plain[0] > 0.8 * plain[2] > 0.008  # about all that was hidden is a hole
    assert filled[0] < most and filled[1] < 12


def test_the_photos_own_view_stays(rooms):
    plain, filled = (drawn(surface, 0) for surface in rooms)
    seen = ~np.isnan(plain).any(-1)
    other = (filled != plain).any(-1) & seen
    # A pixel here and there, along the edges where the two surfaces meet.
    assert other.mean() < 0.001 and np.abs(filled - plain)[seen].max() < 20


def test_a_file_holds_both_surfaces(rooms, tmp_path):
    filled = rooms[1]
    assert filled.behind is not None
    ends, _, colors = truth(0)
    depth = DepthMap(-ends[..., 2].astype(np.float32), "metric_depth")
    photo = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    whole = scene.Scene(photo, depth, filled.camera, fill=True)
    scene.save(whole, tmp_path / "a.glb")
    loaded = trimesh.load(tmp_path / "a.glb")
    meshes = sorted(loaded.geometry.values(), key=lambda mesh: -len(mesh.faces))
    assert [len(mesh.faces) for mesh in meshes] == [
        len(filled.triangles),
        len(filled.behind.triangles),
    ]
    np.testing.assert_array_equal(
        meshes[1].vertices.astype(np.float32), filled.behind.points * (1, -1, -1)
    )
    # Behind what is seen, each point of it.
    rows = ray_caster.FOCAL * filled.behind.points[:, 1] / filled.behind.points[:, 2]
    columns = ray_caster.FOCAL * filled.behind.points[:, 0] / filled.behind.points[:, 2]
    at = [
        np.rint(place + (side - 1) / 2).astype(int)
        for place, side in zip((rows, columns), SHAPE, strict=True)
    ]
    assert (filled.behind.points[:, 2] > depth.values[at[0], at[1]]).all()


def test_without_anything_before_anything_nothing_is_behind():
    assert behind(np.full((20, 30), 2.0), np.zeros((20, 30, 3), np.uint8)) is None


def test_without_opencv_it_is_a_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    argv = ["scene", "a.jpg", "--near", "1", "--far", "2", "--fill"]
    with pytest.raises(SystemExit) as end:
        sys.exit(main(argv))
    assert end.value.code == 2
    assert "pip install 'jax_depth[fill]'" in capsys.readouterr().err


@pytest.mark.parametrize("blur", [0, 2])
def test_a_swaying_view_shows_what_is_behind(blur):
    """A box before a wall, whose edges a network would blur; both views are known."""
    nearness = np.zeros((120, 200), np.float32)
    nearness[30:90, 70:120] = 1
    rows, columns = np.arange(120)[:, None, None], np.arange(200)[:, None]

    def wall(moved):
        level = 120 + 0.3 * (columns - moved) * (1, 0, -1) + 60 * np.sin(rows / 9)
        return np.clip(level * (0.5, 1, 0.7), 0, 255)

    photo = wall(0)
    photo[nearness == 1] = 250, 20, 20
    if blur:
        nearness = cv2.GaussianBlur(nearness, (0, 0), blur)
    depth = DepthMap(nearness, "inverse_depth")
    views = list(swaying(photo.round().astype(np.uint8), depth, 0.12, fill=True))
    np.testing.assert_array_equal(views[0], photo.round())
    for frame in (22, 67):
        moved = 0.12 * 200 / 4 * np.sin(2 * np.pi * frame / len(views))
        truth = wall(-moved)
        edges = np.round([70 + moved, 120 + moved]).astype(int)
        truth[30:90, edges[0] : edges[1]] = 250, 20, 20
        error = np.abs(views[frame] - truth)[25:95, 50:150]
        # An edge lies between two columns; 10 % of the pixels come into view.
        assert error.mean() < (5 if blur else 2), frame
