"""Tests of the page for people with other eyes, hands and screens.

Imported by `test_app_browser.py`, whose browser and server they share.
"""

import io
import json
import re
import shutil
import subprocess
import tarfile
import time

import numpy as np
import pytest
from app_page import Page
from app_server import ROOT
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import jax_depth

COFFEE = ROOT / "examples" / "coffee.jpg"

# Run in the page: whatever is pressed there and how many pixels it measures.
_TARGETS = """
const found = [];
const pressed = document.querySelectorAll("button, a, [role=tab], label:has(input)");
for (const item of pressed) {
  const box = item.getBoundingClientRect();
  if (item.checkVisibility() && !item.closest("[aria-hidden=true]") && box.width > 2)
    found.push([item.outerHTML.slice(0, 90), box.width, box.height]);
}
return found;
"""
# Keeps what a screen reader is told from now on.
_LISTEN = """
window.said = [];
new MutationObserver(() => {
  for (const region of document.querySelectorAll("[aria-live]"))
    if (region.textContent.trim()) window.said.push(region.textContent.trim());
}).observe(document, {subtree: true, childList: true, characterData: true});
"""
# Loads the page anew as soon as a job runs.
_RELOAD = """
new MutationObserver(() => {
  if (document.querySelector("#batch-message progress[aria-label]")) location.reload();
}).observe(document, {subtree: true, childList: true});
"""
_RUN = """
const answer = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((found) => answer(
  found.violations.flatMap(({id, impact, nodes}) =>
    nodes.map((node) => [impact, id, node.html.slice(0, 120)]))));
"""


def _fetched_axe(folder):
    """Return the script of axe-core, of npm's registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    words = [npm, "pack", "axe-core@4", "--silent", "--pack-destination", str(folder)]
    words += ["--cache", str(folder / "cache")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot fetch axe-core: {done.stderr[-200:]}")
    [archive] = folder.glob("axe-core-*.tgz")
    with tarfile.open(archive) as files:
        return files.extractfile("package/axe.min.js").read().decode()


def complaints(browser, axe):
    """Return what axe calls serious or critical in the page as it is."""
    browser.execute_script(axe)
    found = browser.execute_async_script(_RUN)
    return [line for line in found if line[0] in ("serious", "critical")]


def small_targets(browser):
    """Return what is pressed and measures less than 24 pixels: WCAG 2.2, 2.5.8."""
    found = browser.execute_script(_TARGETS)
    assert len(found) >= 5
    return [line for line in found if min(line[1:]) < 24]


def emulate(browser, width=None, scheme="light"):
    """Give the page a screen of this width and a system of this colour scheme."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    if width is None:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        return
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1}
    screen["mobile"] = width < 600
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def check_first_view(page, canvas, photo):
    """Check that a mesh is first seen as its photo, and turned 25 degrees at most."""
    turned = lambda: json.loads(canvas.get_attribute("data-turned") or "null")
    assert page.wait.until(lambda _: turned()) == [0, 0]
    seen = Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB")
    want = Image.open(photo).convert("RGB")
    scale = min(seen.width / want.width, seen.height / want.height)
    size = round(want.width * scale), round(want.height * scale)
    left, top = (seen.width - size[0]) // 2, (seen.height - size[1]) // 2
    shown = seen.crop((left, top, left + size[0], top + size[1]))
    # Without the corners, where labels are, and in blocks, whatever the gaps.
    one, other = (
        np.asarray(picture.resize((60, 40), Image.Resampling.BOX), float)[6:]
        for picture in (shown, want)
    )
    assert np.median(np.abs(one - other)) < 8
    corner = np.asarray(seen)[seen.height // 2, 2]
    assert np.ptp(corner) < 3 and 90 < corner.mean() < 140  # grey
    ActionChains(page.browser).drag_and_drop_by_offset(canvas, 300, 60).perform()
    page.wait.until(lambda _: abs(turned()[0]) > 20)
    assert max(map(abs, turned())) <= 25


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    return _fetched_axe(tmp_path_factory.mktemp("axe"))


@pytest.mark.parametrize("width, scheme", [(390, "light"), (1280, "dark")])
def test_audit_finds_nothing_serious(browser, server, axe, width, scheme):
    try:
        emulate(browser, width, scheme)
        page = Page(browser, server)
        page.drop(COFFEE)
        page.until("#message", "600 x 400")
        page.until("#scene button").click()
        page.until("#scene-build").click()
        page.until("#scene-note", "distances as entered")
        page.wait.until(lambda _: page.all("#mesh canvas"))
        widths = set()
        for tab in ("Photo", "Normals", "Measure", "Several photos", "Video", "Camera"):
            page.tab(tab)
            page.wait.until(lambda _: page.all("[role=tab].selected"))
            time.sleep(0.3)  # colours of tabs fade in
            assert complaints(browser, axe) == []
            assert small_targets(browser) == []
            widths.add(page.all(".gradio-container main")[0].rect["width"])
        assert len(widths) == 1 and widths.pop() > 0.8 * min(width, 1400)
        if width == 390:  # the arrow of an upload stands clear of the label
            arrow = page.all("#clip [data-testid=upload-icon]")[0].rect
            label = page.all("#clip [data-testid=block-label]")[0].rect
            assert arrow["y"] >= label["y"] + label["height"]
    finally:
        emulate(browser)


def test_keyboard_and_names(page, browser):
    names = [image.get_attribute("alt") for image in page.all(".gallery-item img")]
    assert names == [f"Example: {name}" for name in ("cat", "coffee", "pagoda")]
    browser.execute_script(_LISTEN)
    page.drop(COFFEE)
    page.until("#message", "600 x 400")
    slider = page.wait.until(lambda _: page.all("#compare [role=slider]"))[0]
    browser.execute_script("arguments[0].focus()", slider)
    now = lambda: float(slider.get_attribute("aria-valuenow"))
    assert now() == 50 and slider.accessible_name.startswith("Photo to the left")
    slider.send_keys(Keys.ARROW_RIGHT)
    page.wait.until(lambda _: now() == 55)
    slider.send_keys(Keys.HOME)
    page.wait.until(lambda _: now() == 0)
    clip = page.all("#compare img.fixed")[0].value_of_css_property("clip-path")
    assert float(re.findall(r"([\d.]+)%", clip)[-1]) < 0.1
    ring = page.all("#compare [role=slider] .icon-wrap")[0]
    assert ring.value_of_css_property("outline-style") == "solid"
    assert {image.get_attribute("alt") for image in page.all("#compare img")} == {
        "The photo",
        "Its depth in colours; the legend below names them",
    }
    # Gradio waits five seconds between two announcements.
    said = lambda: set(browser.execute_script("return window.said")) - {"Loading"}
    page.wait.until(lambda _: said())
    assert said() == {"Done"}
    radio = page.all("#range input")[0]
    radio.send_keys(Keys.SPACE)
    assert radio.value_of_css_property("outline-style") == "solid"


def test_a_legend_says_which_colour_is_near(page):
    page.drop(COFFEE)
    legend = page.until("#legend", "no unit: compare within this photo")
    words = re.fullmatch(r"near: ([\d.]+)\nfar: ([\d.]+)\n.*", legend.text)
    depth = jax_depth.load("tiny")(COFFEE).values
    assert words is not None
    near, far = map(float, words.groups())
    assert abs(near - depth.max()) < 0.006 and abs(far - depth.min()) < 0.006
    # The fixed range starts from what is shown.
    page.all("#range input")[1].click()
    low = float(page.until("#low input").get_attribute("value"))
    high = float(page.until("#high input").get_attribute("value"))
    assert depth.min() - 0.002 < low <= depth.min() < depth.max() <= high
    assert high < depth.max() + 0.002
    page.choose("#model", "small-metric-swiglu")
    page.until("#model", "their licence is not known")
    page.until("#legend", "metres from the camera")
    assert re.match(r"near: [\d.]+ m\nfar: [\d.]+ m\n", page.until("#legend").text)


def test_a_lost_job_says_so(page, browser, tmp_path):
    photos = [tmp_path / f"{number}.jpg" for number in range(12)]
    for photo in photos:
        photo.write_bytes(COFFEE.read_bytes())
    page.tab("Several photos")
    field = page.all("#batch-photos input[type=file]")[0]
    field.send_keys("\n".join(map(str, photos)))
    page.until("#batch-photos", "11")
    browser.execute_script(_RELOAD)
    page.until("#batch-start").click()
    page.until("#lost-job", "Start them again")
    browser.get_log("browser")  # that the connection of the first page was cut
    browser.get(browser.current_url)
    page.until("#photo input[type=file]")
    time.sleep(0.3)
    assert not page.all("#lost-job")
