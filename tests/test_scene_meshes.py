"""Meshes of few triangles, as glTF, Wavefront OBJ and USDZ, read back by libraries."""

import io
import sys
import zipfile

import numpy as np
import pytest
import ray_caster
import trimesh
from PIL import Image

from jax_depth.cli.main import main
from jax_depth.depth_map import DepthMap
from jax_depth.formats.glb import Coloured, texture_jpeg
from jax_depth.outputs import scene
from jax_depth.outputs.scene import files
from jax_depth.outputs.scene.surface import Surface
from jax_depth.outputs.scene.texture import worn

HEIGHT, WIDTH = ray_caster.HEIGHT, ray_caster.WIDTH
FEW = 2000


def room(**options):
    """Return the rendered box in a photo whose red and green tell where one is."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    red, green = 250 * columns / (WIDTH - 1), 250 * rows / (HEIGHT - 1)
    photo = np.stack([red, green, np.full_like(red, 90)], -1).astype(np.uint8)
    depth = DepthMap(ray_caster.cast()[0].astype(np.float32), "metric_depth", "m")
    camera = scene.camera_from_focal((HEIGHT, WIDTH), ray_caster.FOCAL)
    return scene.Scene(photo, depth, camera, **options)


@pytest.fixture(scope="module")
def few():
    return room(triangles=FEW)


@pytest.fixture(scope="module")
def filled():
    return room(fill=True, triangles=FEW)


def check(points, faces, uv):
    """Check a mesh with y up and its places in the photo, counted from below."""
    assert 0.9 * FEW < len(faces) <= FEW
    # On the box, the floor and the wall, but for corners between two of them.
    off = ray_caster.distance_to_surfaces(points)
    assert np.quantile(off, 0.95) < 0.002 and off.max() < 0.1
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("ij,ij->i", normals, corners.mean(1)) < 0).all()  # faces us
    column = ray_caster.FOCAL * points[:, 0] / -points[:, 2] + WIDTH / 2
    row = ray_caster.FOCAL * -points[:, 1] / -points[:, 2] + HEIGHT / 2
    np.testing.assert_allclose(uv[:, 0], column / WIDTH, atol=1e-5)
    np.testing.assert_allclose(1 - uv[:, 1], row / HEIGHT, atol=1e-5)


def test_a_surface_of_few_triangles_keeps_its_shape(few, tmp_path):
    assert len(few.surface.triangles) > 40 * FEW
    scene.save(few, tmp_path / "a.glb")
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh")
    check(mesh.vertices, mesh.faces, mesh.visual.uv)
    # Nothing of the photo is lost: floor and wall are as wide as they were.
    whole = few.surface.points
    np.testing.assert_allclose(mesh.bounds, [whole.min(0), whole.max(0)], atol=0.02)
    # The colours are those of the nearest pixels.
    pixels = np.rint(few.mesh.pixels).astype(int)
    want = few.photo[pixels[:, 1], pixels[:, 0]]
    assert np.abs(few.mesh.colors.astype(int) - want).max() <= 3


def test_what_is_behind_gets_a_share(filled):
    assert filled.mesh.behind is not None
    assert len(filled.surface.behind.triangles) > FEW
    assert len(filled.mesh.triangles) + len(filled.mesh.behind.triangles) <= FEW
    z = filled.mesh.behind.points[:, 2]
    assert 2.5 < z.min() < z.max() < 6.1  # between the box and the wall


def test_obj_is_read_back(few, tmp_path):
    for _ in range(2):  # and replaced
        scene.save(few, tmp_path / "a_obj", "obj")
    names = sorted(path.name for path in (tmp_path / "a_obj").iterdir())
    assert names == ["material.mtl", "mesh.obj", "photo.jpg"]
    mesh = trimesh.load(tmp_path / "a_obj" / "mesh.obj", process=False)
    check(mesh.vertices, mesh.faces, mesh.visual.uv)
    worn = np.asarray(mesh.visual.material.image)
    assert np.abs(worn.astype(int) - few.photo).mean() < 3


def is_worn(filled, points, faces, uv, picture):
    """Check that a mesh with y up has both surfaces, in their colours."""
    front, back = filled.mesh, filled.mesh.behind
    assert len(faces) == len(front.triangles) + len(back.triangles)
    assert faces.max() == len(points) - 1
    np.testing.assert_allclose(points[: len(front.points)], front.points, atol=1e-5)
    ends = points[len(front.points) :] * (1, -1, -1)
    np.testing.assert_allclose(ends, back.points, atol=1e-5)
    place = np.stack([uv[:, 0], 1 - uv[:, 1]], 1) * (picture.size)
    x, y = np.minimum(place.astype(int), np.array(picture.size) - 1).T
    seen = np.asarray(picture.convert("RGB"), int)[y, x]
    want = np.concatenate([front.colors, back.colors]).astype(int)
    off = np.abs(seen - want).max(1)
    assert np.median(off[: len(front.points)]) < 6
    assert np.median(off[len(front.points) :]) < 12  # half as fine, and decimated


def test_obj_and_usdz_wear_what_is_behind(filled, tmp_path):
    from pxr import Usd, UsdGeom

    scene.save(filled, tmp_path / "a_obj", "obj")
    mesh = trimesh.load(tmp_path / "a_obj" / "mesh.obj", process=False)
    image = Image.open(tmp_path / "a_obj" / "photo.jpg")
    is_worn(filled, mesh.vertices, mesh.faces, mesh.visual.uv, image)
    scene.save(filled, tmp_path / "a.usdz")
    stage = Usd.Stage.Open(str(tmp_path / "a.usdz"))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/scene/mesh"))
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    uv = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").Get())
    is_worn(filled, np.array(mesh.GetPointsAttr().Get()), faces, uv, image)


@pytest.mark.parametrize("shape", [(40, 61), (61, 40)])
def test_the_painted_background_lies_along_the_shorter_side(shape):
    height, width = shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([4 * columns, 4 * rows, 0 * rows], -1).astype(np.uint8)
    painted = picture + np.array([0, 0, 200], np.uint8)
    camera = scene.camera_from_focal(shape, 50.0)
    at = np.array([[3, 5], [35, 2], [20, 30], [2, 28]], np.int32)
    x, y = ((at - (camera.cx, camera.cy)) / (camera.fx, camera.fy)).T
    points = np.stack([x, y, np.ones(4)], 1).astype(np.float32)
    triangles = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    colors = picture[at[:, 1], at[:, 0]]
    surface = Surface(
        points * np.array([1, -1, -1], np.float32),
        colors,
        at,
        triangles,
        shape,
        camera,
        Coloured(points, colors, triangles),
        painted,
    )
    mesh = worn(surface, picture)
    image = Image.open(io.BytesIO(mesh.texture))
    assert image.size == ((61, 60) if height < width else (60, 61))
    x, y = (mesh.uv * image.size).astype(int).T
    seen = np.asarray(image.convert("RGB"), int)[y, x]
    want = np.concatenate([colors, colors]).astype(int)
    want[4:, 2] += 200
    assert np.abs(seen - want).max() < 20
    assert mesh.triangles.tolist()[2:] == [[4, 5, 6], [5, 6, 7]]


def test_usdz_is_read_back(few, tmp_path):
    from pxr import Usd, UsdGeom, UsdShade, UsdValidation

    path = tmp_path / "a.usdz"
    scene.save(few, path)
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/scene/mesh"))
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    uv = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").Get())
    check(np.array(mesh.GetPointsAttr().Get()), faces, uv)
    material, _ = UsdShade.MaterialBindingAPI(mesh).ComputeBoundMaterial()
    assert material.GetPath() == "/scene/photo"
    # A photo is lit already: what reflects is rough, and shows nothing of the room.
    surface = material.ComputeSurfaceSource()[0]
    assert surface.GetInput("roughness").Get() == 1
    assert surface.GetInput("diffuseColor").Get() == (0, 0, 0)
    rules = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    complaints = UsdValidation.ValidationContext(rules).Validate(stage)
    assert len(rules) > 10 and not complaints
    with zipfile.ZipFile(path) as packed, packed.open("0/photo.jpg") as file:
        assert np.abs(np.asarray(Image.open(file), int) - few.photo).mean() < 3


def test_by_default_a_large_photo_is_a_small_file(few, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "TRIANGLES", 3000)
    assert 2700 < len(room().mesh.triangles) <= 3000
    # Without the package the grid is coarser instead.
    monkeypatch.setattr(files, "installed", lambda name: False)
    assert 2000 < len(room().mesh.triangles) <= 3000
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4500, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(noise[::8, ::8]).resize((4500, 3000)))
    assert len(texture_jpeg(smooth)) < 5e6 < noise.size / 8


@pytest.mark.parametrize(
    "words, package, sentence",
    [
        (["--format", "usdz"], "pxr", "USDZ needs the package usd-core"),
        (["--format", "obj"], "trimesh", "OBJ needs the package trimesh"),
        (["--triangles", "9"], "fast_simplification", "needs the package fast-simpl"),
    ],
)
def test_a_missing_package_is_a_sentence(monkeypatch, capsys, words, package, sentence):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["scene", "a.jpg", "--near", "1", "--far", "2", *words]) == 2
    err = capsys.readouterr().err
    assert sentence in err and "pip install 'jax_depth[mesh]'" in err
