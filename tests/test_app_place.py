"""Photos of one place on the page: one scene, first seen as the first photo saw it."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
import trimesh
from PIL import Image
from test_views import _estimator, _photos, _plane_seen_twice

pytest.importorskip("gradio", reason="the web app needs jax_depth[app]")

import jax_depth
from jax_depth.app.limits import Limits
from jax_depth.app.messages import Refusal
from jax_depth.app.place_tab import any_view, compute, from_first, write
from jax_depth.app.service import Service
from jax_depth.views import Views


@pytest.fixture(scope="module")
def service():
    with contextlib.closing(Service({"toy": _estimator()}, Limits(), 4)) as service:
        yield service


def _files(folder, photos):
    paths = [folder / f"{name}.png" for name in "abcdef"[: len(photos)]]
    for path, photo in zip(paths, photos, strict=True):
        Image.fromarray(photo).save(path)
    return list(map(str, paths))


@pytest.mark.slow
def test_photos_become_one_scene(service, tmp_path):
    photos = [*_photos(1), *_photos(1, 80, 60)]
    assert any_view(service.models) == ["toy"]
    views, notes = compute(service, _files(tmp_path, photos), "toy", 16)
    assert "2 photos, in a unit of its own, first seen from a.png" in notes[0]
    assert "cropped" in notes[1]
    assert views.names == ("a", "b") and views.poses[0].is_identity
    plain = _estimator().views(photos, fit="crop")
    pair = views.depths[1].values, plain.depths[1].values
    assert np.array_equal(*pair, equal_nan=True) and not np.isnan(pair[0]).all()

    first = write(views, tmp_path, 0.4)
    assert first["middle"] == pytest.approx(np.nanmedian(views.depths[0].values))
    assert first["wide"] == pytest.approx(40 / views.cameras[0].fx)
    (cloud,) = trimesh.load(tmp_path / "scene.glb").geometry.values()
    assert len(cloud.vertices) == len(views.points()[0])
    assert (tmp_path / "scene.ply").is_file()
    assert len(Views.load(tmp_path / "scene.npz")) == 2


def test_the_world_becomes_the_first_photos_camera():
    views = _plane_seen_twice()
    views = dataclasses.replace(
        views, depths=views.depths[::-1], poses=views.poses[::-1]
    )
    moved, first = from_first(views), views.poses[0]
    assert np.allclose(moved.poses[0].world_to_camera, np.eye(3, 4), atol=1e-12)
    points, _ = views.points(0.0)
    expected = points @ first.rotation.T + first.translation
    assert np.allclose(moved.points(0.0)[0], expected, atol=1e-5)


def test_what_makes_no_scene_is_a_sentence(service, tmp_path):
    files = _files(tmp_path, _photos(3))
    (tmp_path / "c.png").write_bytes(b"no picture")
    for photos, most, sentence in (
        ([], 16, "drop some photos"),
        (files, 2, "3 photos; give at most 2"),
        (files, 16, "'c.png' is not a picture"),
    ):
        with pytest.raises(Refusal, match=sentence):
            compute(service, photos, "toy", most)
    views = _plane_seen_twice()
    lost = [dataclasses.replace(d, values=0 * d.values) for d in views.depths]
    with pytest.raises(Refusal, match=r"scene\.glb: no point is left") as caught:
        write(dataclasses.replace(views, depths=lost), tmp_path, 0.4)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.long
def test_the_page_shows_the_scene_from_the_first_photo(tmp_path):
    pytest.importorskip("selenium", reason="needs jax_depth[test]")
    import app_server
    from app_page import BROWSER, DRIVER, Page, driven

    if not (BROWSER and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    model = _estimator()
    folder = tmp_path / "model"
    jax_depth.save_params(folder, model.params, model.config)
    photos = [app_server.ROOT / "examples" / f"{n}.jpg" for n in ("coffee", "cat")]
    options = ("--model", "tiny", "--model", str(folder))
    with (
        app_server.command(tmp_path, *options, warm=False) as (address, _),
        driven(tmp_path / "profile", tmp_path) as browser,
    ):
        page = Page(browser, address)
        page.tab("One place")
        field = page.all("#place-photos input[type=file]")[0]
        field.send_keys("\n".join(map(str, photos)))
        page.until("#place-photos", "cat")
        page.until("#place-start").click()
        page.until("#place-note", "2 photos, in a unit of its own")
        canvas = page.wait.until(lambda _: page.all("#place-mesh canvas"))[0]
        turned = page.wait.until(lambda _: canvas.get_attribute("data-turned"))
        assert json.loads(turned) == [0, 0]

        def colours(_):
            seen = Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB")
            return len(seen.getcolors(2**24)) > 1000

        page.wait.until(colours, "no points are to be seen")
        page.until("#place-npz").click()
        file = tmp_path / "scene.npz"
        page.wait.until(lambda _: file.exists())
    assert Views.load(file).names == ("coffee", "cat")
