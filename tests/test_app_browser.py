"""The page in a real browser: drop, compare, read, download, err, share."""

import io
import json
import re
import time
import urllib.parse
import zipfile

import app_audit
import app_server
import numpy as np
import pytest
import trimesh
from app_server import ROOT, ask
from PIL import Image

import jax_depth
from jax_depth import outputs
from jax_depth.cli.main import main
from jax_depth.formats.image import read_image
from jax_depth.outputs import scene
from jax_depth.video.reading import open_source
from jax_depth.video.writing import VideoWriter

pytest.importorskip("selenium", reason="needs jax_depth[test]")

from app_audit import axe as axe
from app_audit import (
    test_a_legend_says_which_colour_is_near as test_a_legend_says_which_colour_is_near,
)
from app_audit import test_a_lost_job_says_so as test_a_lost_job_says_so
from app_audit import (
    test_audit_finds_nothing_serious as test_audit_finds_nothing_serious,
)
from app_audit import test_keyboard_and_names as test_keyboard_and_names
from app_camera import SWITCHES
from app_camera import (
    test_a_camera_is_live_and_frames_are_dropped as test_a_camera_is_live_and_frames_are_dropped,  # noqa: E501
)
from app_page import Page, driven, needs_driver
from selenium.webdriver.common.action_chains import ActionChains

# A browser, a server and a page for each: the slowest minutes of all.
pytestmark = [needs_driver, pytest.mark.slow]

COFFEE, CAT = (ROOT / "examples" / f"{name}.jpg" for name in ("coffee", "cat"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    with app_server.command(folder, "--max-upload", "2", metric=True) as server:
        yield server[0]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads, tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with driven(profile, downloads, *SWITCHES) as browser:
        yield browser


@pytest.fixture
def page(browser, server):
    browser.get("about:blank")  # what the last page says at its end is not ours
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    yield Page(browser, server)
    logged = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    # Without a graphics card the view of meshes falls back to WebGL.
    assert not [line for line in logged if "WebGPU" not in line["message"]]


def requested(browser):
    """Return what pages asked for since the log was read last."""
    urls = []
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
    return urls


def test_drop_gives_depth_and_asks_nobody_else(page, browser, server):
    page.drop(COFFEE)
    page.until("#message", "600 x 400 pixels by tiny: inverse depth from")
    page.wait.until(lambda _: len(page.sources()) == 2)
    photo, depth = (ask(server, urllib.parse.urlsplit(s).path) for s in page.sources())
    assert Image.open(io.BytesIO(photo[2])).size == (600, 400)
    expected = outputs.colorize(jax_depth.load("tiny")(COFFEE))
    shown = np.asarray(Image.open(io.BytesIO(depth[2])).convert("RGB"))
    assert np.abs(shown.astype(int) - expected).mean() < 3  # JPEG for the page
    urls = requested(browser)
    assert any("/gradio_api/upload" in url for url in urls)
    own = (server.rstrip("/"), "data:", "blob:", "chrome://", "about:")
    assert not [url for url in urls if not url.startswith(own)]


def test_the_slider_moves(page, browser):
    page.drop(COFFEE)
    page.until("#message", "600 x 400")
    handle = page.until("#compare [data-testid=slider] .icon-wrap")
    before = page.all("#compare img.fixed")[0].value_of_css_property("clip-path")
    ActionChains(browser).drag_and_drop_by_offset(handle, 120, 0).perform()
    after = page.all("#compare img.fixed")[0].value_of_css_property("clip-path")
    left = lambda text: float(re.findall(r"([\d.]+)%", text)[-1])
    assert left(before) == 50 and left(after) > 55


def test_pointer_reads_the_value(page, browser):
    page.choose("#model", "small-metric-swiglu")
    page.drop(COFFEE)
    page.until("#message", "by small-metric-swiglu: from")
    image = page.wait.until(lambda _: page.all("#compare img"))[0]
    values = np.load(io.BytesIO(page_file(page, "NumPy array")))
    for offset in ((-200, -100), (37, 5), (250, 150)):
        ActionChains(browser).move_to_element_with_offset(image, *offset).perform()
        text = page.until("#depth-readout", " m at ").text
        found = re.fullmatch(r"distance ([\d.]+) m at \((\d+), (\d+)\)", text)
        assert found is not None
        value, x, y = found.groups()
        # The page holds every second pixel and shows centimetres.
        near = values[int(y) // 2 * 2 + 1, int(x) // 2 * 2 + 1]
        assert abs(float(value) - near) < 0.0052
        scale = image.size["width"] / 600
        assert abs(int(x) - (300 + offset[0] / scale)) < 2
        assert abs(int(y) - (200 + offset[1] / scale)) < 2
    _measure_twice(page, values)


def _measure_twice(page, values):
    """Click on two points of the photo; compare what is said with geometry."""
    page.until("#scene button").click()
    page.tab("Measure")
    says = lambda text: page.until("#measure-note", text).text
    image = lambda: page.wait.until(lambda _: page.all("#measure img"))[0]
    places, found = [], []
    for offset, words in (((-120, 40), "A at"), ((90, -30), "apart")):
        ActionChains(page.browser).move_to_element_with_offset(
            image(), *offset
        ).click().perform()
        text = says(words)
        x, y = map(int, re.findall(r"at \((\d+), (\d+)\)", text)[-1])
        scale = image().size["width"] / 600
        assert abs(x - (300 + offset[0] / scale)) < 2
        assert abs(y - (200 + offset[1] / scale)) < 2
        focal = 300 / np.tan(np.radians(30))  # assumed, of 60 degrees
        ray = np.array([(x - 299.5) / focal, (y - 199.5) / focal, 1.0])
        found.append(values[y, x] * ray)
        places += [x, y]
        assert f"{values[y, x]:.3g} m ahead of the camera" in text
    apart = float(re.search(r"A and B are ([\d.]+) m apart", text)[1])
    assert abs(apart - np.linalg.norm(found[0] - found[1])) < 0.006
    assert text.endswith("distances by the model.")
    typed = [page.until(f"#{i}-{j} input") for i in "ab" for j in ("column", "row")]
    page.wait.until(lambda _: typed[3].get_attribute("value"))
    assert [int(field.get_attribute("value")) for field in typed] == places
    # By the keyboard, as who has no mouse does.
    typed[0].clear()
    typed[0].send_keys("9999\n")
    says("A is outside the photo, whose columns are 0 to 599")


def page_file(page, label):
    parts = urllib.parse.urlsplit(page.link(label))
    status, _, body = ask(page.browser.current_url, f"{parts.path}?{parts.query}")
    assert status == 200
    return body


def test_downloads_are_the_estimators_map(page, downloads):
    page.drop(CAT)
    page.until("#message", "451 x 300")
    [link] = [link for link in page.all(".downloads a") if link.text == "16-bit PNG"]
    link.click()
    file = downloads / "cat_depth.png"
    page.wait.until(lambda _: file.exists() and file.stat().st_size > 0)
    expected = jax_depth.load("tiny")(CAT)
    # On one device here, on however many the tests have there.
    atol = 1e-5 * expected.values.std() + np.ptp(expected.values) / 65535
    read = outputs.load(file)
    np.testing.assert_allclose(read.values, expected.values, atol=atol, rtol=0)
    assert (read.kind, read.model) == (expected.kind, expected.model)
    values = np.load(io.BytesIO(page_file(page, "NumPy array")))
    np.testing.assert_allclose(values, expected.values, atol=atol, rtol=0)
    colour = np.asarray(Image.open(io.BytesIO(page_file(page, "coloured PNG"))))
    assert colour.shape == (300, 451, 3)
    (downloads / "a.exr").write_bytes(page_file(page, "EXR"))
    np.testing.assert_array_equal(outputs.load(downloads / "a.exr").values, values)
    pair = np.asarray(Image.open(io.BytesIO(page_file(page, "stereo pair"))))
    want = np.concatenate(scene.stereo_pair(read_image(CAT), read), axis=1)
    assert np.abs(pair.astype(int) - want).mean() < 0.1  # `read` is of 16 bits


def test_colours_and_range_change_without_a_new_depth(page):
    page.drop(COFFEE)
    page.until("#message", "600 x 400")
    link, sources = page.link("NumPy array"), page.sources()
    page.choose("#colours", "inferno")
    page.wait.until(lambda _: page.sources() != sources)
    name = lambda link: urllib.parse.urlsplit(link).path
    page.wait.until(lambda _: "inferno" in page.link("coloured PNG"))
    assert name(page.link("NumPy array")) == name(link)  # the same result
    page.all("#range input")[1].click()
    page.wait.until(lambda _: "high=" in page.link("coloured PNG"))
    query = urllib.parse.urlsplit(page.link("coloured PNG")).query
    (high,) = urllib.parse.parse_qs(query)["high"]
    greatest = jax_depth.load("tiny")(COFFEE).values.max()
    assert -1e-4 < float(high) - greatest < 2e-3  # to four digits, outwards
    low = page.until("#low input")
    low.clear()
    low.send_keys("20\n")
    page.until("#message .refusal", "low must be below high")


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("text.jpg", b"not a picture", "'text.jpg' is not a picture of a known format"),
        ("cut.jpg", COFFEE.read_bytes()[:9000], "'cut.jpg' is damaged or truncated"),
        ("empty.png", b"", "'empty.png' is empty"),
    ],
)
def test_a_wrong_file_is_a_sentence(page, tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    page.drop(tmp_path / name)
    page.until("#message .refusal", sentence)
    assert not page.all(".downloads a")
    # And the page goes on working.
    page.drop(CAT)
    page.until("#message", "451 x 300")


def test_other_files_and_large_ones_do_not_arrive(page, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    page.drop(tmp_path / "notes.txt", type="text/plain")
    page.until("[data-testid=toast-body]", "type")
    (tmp_path / "large.jpg").write_bytes(bytes(2 * 2**20 + 1))
    page.drop(tmp_path / "large.jpg")
    page.until("[data-testid=toast-body]", "size")
    assert not page.all("#message p")


def test_names_of_files_are_text(page, tmp_path):
    name = "<img src=x onerror=alert(1)>${1+1}.jpg"
    (tmp_path / "x.jpg").write_bytes(b"no")
    page.drop(tmp_path / "x.jpg", name=name)
    page.until("#message .refusal", "not a picture")
    assert not page.all("#message img")


def test_two_users_at_once(page, browser, server):
    first = browser.current_window_handle
    browser.switch_to.new_window("window")
    other = Page(browser, server)
    try:
        other.drop(CAT)
        browser.switch_to.window(first)
        page.drop(COFFEE)
        page.until("#message", "600 x 400")
        mine = page.link("NumPy array")
        browser.switch_to.window(other.window)
        other.until("#message", "451 x 300")
        assert other.link("NumPy array") != mine
        assert np.load(io.BytesIO(page_file(other, "NumPy array"))).shape == (300, 451)
        browser.switch_to.window(first)
        assert "600 x 400" in page.until("#message").text
        assert np.load(io.BytesIO(page_file(page, "NumPy array"))).shape == (400, 600)
    finally:
        browser.switch_to.window(other.window)
        browser.close()
        browser.switch_to.window(first)


def test_examples_are_bundled(page):
    page.wait.until(lambda _: len(page.all("button img, .gallery img")) >= 3)
    page.all(".gallery-item, button.gallery-item, table img")[0].click()
    page.until("#message", "451 x 300")


def test_several_photos_become_one_zip(page, downloads, tmp_path):
    page.tab("Several photos")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    files = [COFFEE, CAT, tmp_path / "bad.jpg"]
    field = page.all("#batch-photos input[type=file]")[0]
    field.send_keys("\n".join(map(str, files)))
    page.until("#batch-photos", "bad")
    page.until("#batch-start").click()
    page.until("#batch-message", "2 of 3 photos have depth")
    page.until("#batch-message .refusal", "'bad.jpg' is not a picture")
    assert len(page.all("#batch-gallery img")) >= 2
    page.until("#batch-download").click()
    file = downloads / "depth.zip"
    page.wait.until(lambda _: file.exists())
    with zipfile.ZipFile(file) as archive:
        names = {
            f"{photo}_{kind}.png"
            for photo in ("coffee", "cat")
            for kind in ("depth", "color")
        }
        assert set(archive.namelist()) == names
        (tmp_path / "cat.png").write_bytes(archive.read("cat_depth.png"))
    assert outputs.load(tmp_path / "cat.png").shape == (300, 451)


@pytest.mark.long
def test_a_mesh_is_shown_and_downloaded(page, server, downloads, tmp_path):
    page.drop(COFFEE)
    page.until("#message", "600 x 400")
    page.until("#scene button").click()
    page.until("#scene-build").click()
    page.until("#scene-note", "distances as entered, 1 to 4 m")
    canvas = page.wait.until(lambda _: page.all("#mesh canvas"))[0]

    def colours(_):
        picture = Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB")
        return len(picture.getcolors(2**24)) > 1000

    page.wait.until(colours, "the mesh is not to be seen")
    app_audit.check_first_view(page, canvas, COFFEE)
    page.until("#glb").click()
    file = downloads / "coffee.glb"
    page.wait.until(lambda _: file.exists())
    bounds = trimesh.load(file).bounds
    # The farthest point may lie at an edge, where the mesh has a gap: it is the mesh
    # of the command line, and that ends where it ends.
    words = ["scene", str(COFFEE), "-o", str(tmp_path), "--format", "glb", "--quiet"]
    assert main([*words, "--near", "1", "--far", "4", "--fill"]) == 0
    want = trimesh.load(tmp_path / "coffee_mesh.glb").bounds
    np.testing.assert_allclose(bounds, want, rtol=1e-4)
    np.testing.assert_allclose(bounds[1, 2], -1, rtol=0.02)
    assert bounds[0, 2] >= -4
    for kind in ("ply", "npy"):
        page.until(f"#{kind}").click()
        page.wait.until(lambda _, k=kind: (downloads / f"coffee.{k}").exists())
    # Points of the mesh, those the page had room for, and of every pixel.
    cloud = trimesh.load(downloads / "coffee.ply").vertices
    np.testing.assert_allclose(cloud.max(0), trimesh.load(file).bounds[1], atol=0.02)
    points = np.load(downloads / "coffee.npy")
    assert points.shape == (400, 600, 3) and points.dtype == np.float32
    assert abs(points[..., 2].min() - 1) < 1e-4 and abs(points[..., 2].max() - 4) < 1e-4
    page.tab("Normals")
    page.until("#normals-show").click()
    page.until("#normals-note", "up is green")
    shown = page.wait.until(lambda _: page.all("#normals img"))[0].get_attribute("src")
    shown = ask(server, urllib.parse.urlsplit(shown).path)[2]
    words[words.index("glb")] = "normals"
    assert main([*words, "--near", "1", "--far", "4"]) == 0
    want = np.asarray(Image.open(tmp_path / "coffee_normals.png"), int)
    assert np.abs(np.asarray(Image.open(io.BytesIO(shown)), int) - want).mean() < 0.1
    # A new photo, and the mesh of the old one is gone.
    page.drop(CAT)
    page.until("#message", "451 x 300")
    page.wait.until(lambda _: not page.until("#scene-note").text)


def test_impossible_distances_are_a_sentence(page):
    page.drop(COFFEE)
    page.until("#message", "600 x 400")
    page.until("#scene button").click()
    far = page.until("#far input")
    far.clear()
    far.send_keys("0.5\t")
    page.until("#scene-build").click()
    page.until("#scene-note .refusal", "must be 0 < near < far metres")


@pytest.fixture
def clip(tmp_path):
    """Return an MP4 of ten frames."""
    path = tmp_path / "clip.mp4"
    writer = VideoWriter(path, 10)
    photo = np.asarray(Image.open(COFFEE).resize((160, 120)))
    for i in range(10):
        writer.write(np.roll(photo, 4 * i, axis=1), i / 10)
    writer.close()
    return path


@pytest.mark.slow
def test_a_video_becomes_a_film(page, clip, server):
    page.tab("Video")
    page.all("#clip input[type=file]")[0].send_keys(str(clip))
    page.until("#clip", "clip")
    page.until("#clip-start").click()
    page.until("#clip-message", "10 frames in")
    film = page.wait.until(lambda _: page.all("#film video"))[0].get_attribute("src")
    path = clip.with_name("film.mp4")
    path.write_bytes(ask(server, urllib.parse.urlsplit(film).path)[2])
    frames = [frame.pixels for frame in open_source(path)]
    assert [frame.shape for frame in frames] == [(120, 2 * 160 + 50, 3)] * 10


def test_a_playlist_is_no_video(page, tmp_path):
    # FFmpeg would open the files it names.
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    page.tab("Video")
    page.all("#clip input[type=file]")[0].send_keys(str(playlist))
    page.until("#clip", "list")
    page.until("#clip-start").click()
    page.until("#clip-message .refusal", "'list.mp4' is not a video this page takes")


def test_on_a_phone_nothing_is_cut_off(page, browser):
    page.drop(COFFEE)
    page.until("#message", "600 x 400")
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        time.sleep(0.5)
        width = "return document.documentElement.scrollWidth"
        assert browser.execute_script(width) == 390
        top = lambda selector: page.all(selector)[0].rect["y"]
        assert top("#photo") < top("#compare") < top("#settings")
        assert page.all("#compare")[0].rect["width"] > 300
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
