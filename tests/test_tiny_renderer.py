"""The renderer of the bundled model's training set: exact depth, storage, assets."""

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[1] / "scripts/tiny/renderer"
sys.path.insert(0, str(SCRIPTS))

import assets  # noqa: E402
import generate  # noqa: E402
import meshes  # noqa: E402
from abstract import planes, stairs  # noqa: E402
from blender import hazed  # noqa: E402
from facades import front  # noqa: E402
from scene import Light, Scene, Surface, look, random_look, turn_z  # noqa: E402
from sky import panorama  # noqa: E402
from triangles import EMISSION, METAL, triangles  # noqa: E402

from jax_depth.data import shards  # noqa: E402


def _frame(index: int, height: int, width: int) -> shards.RenderedFrame:
    rng = np.random.default_rng(index)
    disparity = rng.uniform(0.001, 3.0, (height, width)).astype(np.float32)
    disparity[: height // 3] = 0.0
    smooth = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    record = {"index": index, "seed": 5, "kind": "indoor"}
    return shards.RenderedFrame(smooth.astype(np.uint8), disparity, record)


# ---- meshes and assets -------------------------------------------------------

CATALOGUE = """id#1=a
name#1=Slab
category#1=Office
model#1=/m/slab.obj
width#1=200
depth#1=100
height#1=50
creator#1=Someone
"""
SLAB = """mtllib slab.mtl
v 0 0 0
v 4 0 0
v 4 1 0
v 0 1 0
v 0 0 -2
vt 0 0
usemtl red
f 1/1 2/1 3/1 4/1
f -5/1 -4/1 -1/1
"""
MTL = "newmtl red\nKd 0.8 0.1 0.1\nKs 0 0 0\n"


def _catalogue(path: Path, licence: str | None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOGUE)
        archive.writestr("m/slab.obj", SLAB)
        archive.writestr("m/slab.mtl", MTL)
        if licence is not None:
            archive.writestr("m/BLENDSWAP_LICENSE.txt", licence)
    return path


def test_furniture_stands_upright_in_metres(tmp_path):
    path = _catalogue(tmp_path / "a.sh3f", "Released under Creative Commons Zero")
    [(mesh, _)] = list(meshes.furniture(str(path)))
    assert len(mesh.positions) == 9  # a quad makes two triangles, plus one
    low, high = mesh.positions.min(0), mesh.positions.max(0)
    np.testing.assert_allclose(low, [-1.0, -0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(high, [1.0, 0.5, 0.5], atol=1e-12)
    # the quad is the model's front (+z in the file): it looks towards -y
    np.testing.assert_allclose(mesh.normals[:6], [[0, -1, 0]] * 6, atol=1e-12)
    assert mesh.materials[0].colour == (0.8, 0.1, 0.1)


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        (None, True),
        ("Creative Commons Attribution 3.0", True),
        ("Creative Commons Zero", True),
        ("Creative Commons Attribution-ShareAlike 3.0", False),
        ("Creative Commons Attribution Non-Commercial", False),
        ("GPL 3", False),
        ("All rights reserved", False),
    ],
)
def test_only_permissive_models_are_read(tmp_path, licence, allowed):
    path = _catalogue(tmp_path / "a.sh3f", licence)
    assert len(list(meshes.furniture(str(path)))) == allowed


def test_held_out_and_training_assets_do_not_meet(tmp_path):
    for number in range(40):
        picture = Image.new("RGB", (8, 8), (number, 5 * number, 90))
        picture.save(tmp_path / f"wood_{number}.png")
    builder = assets.Builder()
    for texture in assets.textures.photographic(tmp_path):
        builder.add_texture(texture)
    builder.add_mesh(assets.shapes.box(), "built in")
    builder.save(tmp_path / "pack")
    train = assets.Pack(tmp_path / "pack", "train").by_group["wood"]
    held_out = assets.Pack(tmp_path / "pack", "heldout").by_group["wood"]
    assert len(train) + len(held_out) == 40
    assert not set(train) & set(held_out)
    assert 1 <= len(held_out) <= 15


# ---- the picture itself ------------------------------------------------------


@pytest.fixture(scope="module")
def pack():
    return assets.built_in_pack()


@pytest.fixture(scope="module")
def renderer(pack):
    pytest.importorskip("moderngl", reason="needs moderngl to draw")
    from render import Renderer

    try:
        return Renderer(pack)
    except Exception as error:  # moderngl raises bare Exception without a driver
        pytest.skip(f"needs an EGL driver (libegl1, libegl-mesa0): {error}")


def _rays(camera, width: int, height: int) -> np.ndarray:
    """World rays (h, w, 3) through pixel centres, of length 1 along the axis."""
    focal = camera.focal * max(width, height)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = -(np.arange(height) + 0.5 - height / 2) / focal
    eye = np.stack([*np.meshgrid(x, y), -np.ones((height, width))], -1)
    return eye @ camera.rotation.T


def _plane_and_box(camera, width, height, low, high) -> np.ndarray:
    """Distance along the axis to the ground or an axis-aligned box; 0 for sky."""
    rays, origin = _rays(camera, width, height), camera.position
    with np.errstate(divide="ignore"):
        ground = np.where(rays[..., 2] < 0, -origin[2] / rays[..., 2], np.inf)
        slabs = np.sort((np.stack([low, high])[:, None, None] - origin) / rays, axis=0)
    enter, leave = slabs[0].max(-1), slabs[1].min(-1)
    box = np.where((enter < leave) & (enter > 0), enter, np.inf)
    nearest = np.minimum(ground, box)
    return np.where(nearest < 200, nearest, 0), box < ground


@pytest.mark.parametrize("size", [(64, 48), (37, 57)])
@pytest.mark.parametrize("roll", [0.0, 0.4])
def test_depth_is_the_closed_form(renderer, size, roll):
    scene = Scene(renderer.pack, np.random.default_rng(3))
    scene.look = random_look(scene.rng)
    low, high = np.array([-1.0, 3.0, 0.0]), np.array([0.7, 4.5, 2.0])
    scene.shape("ground", (0, 0, 0), (2000, 2000, 1), scene.surface("floor"))
    scene.span(low, high, scene.surface("brick"))
    scene.camera = look((0.3, -1.0, 1.5), 0.15, -0.1, roll, 0.8)
    rgb, depth = renderer.render(scene, *size)
    expected, on_box = _plane_and_box(scene.camera, *size, low, high)
    # a pixel whose neighbours see another thing may lie on an edge
    inner = np.ones(depth.shape, bool)
    sky = expected == 0
    for mask in (on_box, sky):
        for axis in (0, 1):
            change = np.diff(mask.astype(int), axis=axis) != 0
            pad = [(1, 0), (0, 0)] if axis == 0 else [(0, 0), (1, 0)]
            inner &= ~np.pad(change, pad) & ~np.pad(change, [p[::-1] for p in pad])
    near = inner & (expected > 0)
    assert near.mean() > 0.5 and (near & on_box).sum() > 50 and (inner & sky).any()
    error = np.abs(depth[near] / expected[near] - 1)
    assert error.max() < 2e-5
    assert np.median(error) < 5e-7  # float32 keeps about 6e-8
    assert (depth[inner & sky] == 0).mean() > 0.9  # ground goes on beyond 200 m
    assert rgb.shape == (*depth.shape, 3) and rgb.std() > 5


def test_windows_are_set_into_a_front(renderer):
    depths = []
    for seed in range(6):
        scene = Scene(renderer.pack, np.random.default_rng(seed))
        scene.look = random_look(scene.rng)
        front(scene, -20, 20, 6.0, 25)
        scene.camera = look((0, 0, 10), 0, 0, 0, 0.8)
        _, depth = renderer.render(scene, 96, 96)
        known = depth[depth > 0]
        # Piers and bands at 6 m, glass at most 0.45 m behind, balconies before.
        assert (np.abs(known - 6) < 1e-4).mean() > 0.1
        assert known.min() > 6 - 1.6 and known.max() < 6 + 0.46
        depths.append((known > 6.05).mean())
    # Some are flat, with windows that are drawn.
    assert 2 <= sum(share > 0.1 for share in depths) < 6


def test_same_seed_same_picture(renderer, monkeypatch):
    monkeypatch.setattr(generate, "KINDS", {planes: 0.5, stairs: 0.5})
    first, again = (generate.make_frame(renderer, 11, 4) for _ in range(2))
    other = generate.make_frame(renderer, 11, 5)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.disparity, again.disparity)
    assert first.record == again.record
    assert first.rgb.shape != other.rgb.shape or (first.rgb != other.rgb).any()
    assert first.disparity.max() <= 1 / 0.08


# ---- what the ray tracer is given --------------------------------------------


def test_triangles_stand_where_their_instances_do(pack):
    scene = Scene(pack, np.random.default_rng(0))
    wood = Surface(layer=3, tile=0.5, tint=(0.5, 0.4, 1.0), gloss=0.3)
    scene.shape("box", (5, 1, 0.5), (2, 4, 1), wood, yaw=0.3)
    mirrored = np.column_stack([np.diag([-1.0, 1, 1]), (0, 0, 9)])
    scene.put(pack.by_name["sphere"], mirrored, Surface(emission=4.0))
    found = triangles(scene, np.random.default_rng(0))
    box = found.layers == 3
    assert box.sum() == 12 and (found.layers[~box] == -1).all()
    np.testing.assert_allclose(found.tints[box][0, :3], [0.25, 0.16, 0.92])
    assert (found.kinds[:, EMISSION] == np.where(box, 0, 4)).all()
    assert not found.kinds[box, METAL].any()

    corners = np.repeat(box, 3)
    turned = (found.positions[corners] - (5, 1, 0.5)) @ turn_z(0.3)
    np.testing.assert_allclose(np.abs(turned[:, :2]), [[1, 2]] * 36, atol=1e-6)
    assert set(turned[:, 2].round(5)) == {0, 1}
    above = found.positions[~corners][:, 2].max() - 10
    assert 0 < above < 3e-5  # things of one plane are told apart
    # The texture is half a metre wide on every side of the box.
    upper = found.normals[corners][:, 2] > 0.9
    uvs = found.uvs[corners][upper]
    np.testing.assert_allclose(uvs, turned[upper, :2] / 0.5, rtol=1e-6)

    # Outside is where a side's corners run counter-clockwise, however it was made.
    a, b, c = (found.positions.reshape(-1, 3, 3)[:, i] for i in range(3))
    outward = np.cross(b - a, c - a)
    centres = np.where(box[:, None], (5, 1, 1), (0, 0, 9.5))
    assert (((a + b + c) / 3 - centres) * outward).sum(1).min() > 0
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    cosine = np.einsum("nj,nkj->nk", outward, found.normals.reshape(-1, 3, 3))
    assert cosine.min() > 0.17 and cosine[box].min() > 0.999


def test_the_sun_is_where_the_panorama_is_brightest():
    light = Light(np.array([0.0, 3.0, 1.0]), np.full(3, 4.0), clouds=(0, 1, 1, 0))
    picture = panorama(light, 64).mean(2)
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert abs((row + 0.5) / 64 * 180 - 90 - np.degrees(np.arctan2(1, 3))) < 3
    assert abs(column + 0.5 - 32) < 2  # a quarter left of the middle: +y
    np.testing.assert_allclose(picture[0], 0.7 * light.horizon.mean(), rtol=1e-6)


def test_haze_takes_light_by_distance_and_spares_the_sky(pack):
    scene = Scene(pack, np.random.default_rng(0))
    scene.light.fog = (0.8, 0.6, 0.4, 0.1)
    scene.camera = look((0, 0, 0), 0, 0, 0, 0.5)
    depth = np.array([[0, 10, 10]], np.float32)
    light = hazed(scene, np.ones((1, 3, 3), np.float32), depth)
    np.testing.assert_array_equal(light[0, 0], 1)
    near = np.exp(-1.0)
    np.testing.assert_allclose(
        light[0, 1], near + (1 - near) * np.array([0.8, 0.6, 0.4]), rtol=1e-6
    )
    far = np.exp(-np.sqrt(1 + (1 / 1.5) ** 2))  # one pixel beside the axis, focal 1.5
    np.testing.assert_allclose(light[0, 2, 1], far + (1 - far) * 0.6, rtol=1e-6)


def test_light_drawn_elsewhere_is_metered_and_developed(renderer):
    scene = Scene(renderer.pack, np.random.default_rng(1))
    scene.look.focus = (1.0, 9.0)  # the light's own: nothing is blurred twice
    light = np.zeros((24, 48, 3), np.float32)
    light[:, 24:], light[20:] = 0.5, 3.0
    rgb = renderer.developed(scene, light)
    assert (rgb[:20, :24] == 0).all() and rgb[21].min() > rgb[5, 40].max() > 20
    np.testing.assert_array_equal(renderer.developed(scene, light / 8), rgb)


def test_engines_do_not_share_a_folder(tmp_path, monkeypatch, capsys):
    frame = _frame(0, 16, 16)
    shards.write_shard(shards.shard_path(tmp_path, "train", 0), [frame])
    monkeypatch.setattr(generate.importlib.util, "find_spec", lambda _: True)
    words = [tmp_path, "--assets", tmp_path, "--seed", 1, "--frames", 9]
    command = ["generate.py", *map(str, words), "--engine", "cycles"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="2"):
        generate.main()
    assert "shard-00000.zip is not drawn by cycles" in capsys.readouterr().err
    monkeypatch.setattr(generate.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="2"):
        generate.main()
    assert "pip install bpy" in capsys.readouterr().err


def test_fault_names_worthless_views():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
    depth = np.tile(np.linspace(1, 9, 32, dtype=np.float32), (32, 1))
    assert generate.fault(rgb, depth) is None
    assert generate.fault(rgb, depth * 0.02) == "camera inside something"
    assert generate.fault(rgb, np.full_like(depth, 3.0)) == "flat"
    assert generate.fault(np.full_like(rgb, 128), depth) == "featureless"
    assert generate.fault(rgb, np.where(depth > 8, depth, 0)) == "sky"


def test_missing_shards_come_before_those_of_older_code(tmp_path):
    arguments = argparse.Namespace(out=tmp_path, split="train", frames=1001)
    assert generate.due(arguments) == [0, 1, 2, 3, 4]
    for number, version in ((0, generate.VERSION - 1), (2, generate.VERSION)):
        frame = _frame(250 * number, 16, 16)
        frame.record["version"] = version
        shards.write_shard(shards.shard_path(tmp_path, "train", number), [frame])
    assert generate.due(arguments) == [1, 3, 4, 0]
