"""The documentation site as built: complete, alone, and its front page makes depth.

`.ci/run` builds it, since the runtime that the page loads comes from npm:

    python scripts/site/build.py SITE && JAX_DEPTH_SITE=SITE pytest tests/test_site.py
"""

import base64
import functools
import http.server
import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jax_depth

pytest.importorskip("selenium", reason="needs jax_depth[test]")

from app_audit import axe as axe
from app_audit import complaints, emulate
from app_page import DROP, driven, needs_driver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SITE = Path(os.environ.get("JAX_DEPTH_SITE", "no site"))
pytestmark = [
    needs_driver,
    pytest.mark.slow,
    pytest.mark.skipif(
        not SITE.is_dir(), reason="needs a site built with npm; see above"
    ),
]
EXAMPLES = Path(__file__).parents[1] / "examples"
_ADDRESS = r"""["']?(?:https?:)?//"""
ELSEWHERE = re.compile(rf"(?:src|srcset)={_ADDRESS}|url\({_ADDRESS}")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files without a line for each."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory, address):
    profile, downloads = (tmp_path_factory.mktemp(n) for n in ("profile", "downloads"))
    with driven(profile, downloads) as browser:
        browser.set_script_timeout(120)
        browser.get(address)
        yield browser


def test_no_page_loads_anything_from_elsewhere():
    pages = list(SITE.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text()
        assert not ELSEWHERE.search(text), page
        for link in re.findall(r"<link[^>]*>", text):
            assert "://" not in link or 'rel="canonical"' in link, (page, link)
    for sheet in SITE.rglob("*.css"):
        assert not ELSEWHERE.search(sheet.read_text()), sheet


def test_every_public_name_has_a_place():
    page = (SITE / "api" / "jax_depth" / "index.html").read_text()
    for name in jax_depth.__all__:
        if name != "MODELS":  # a table, not a class or function
            assert re.search(rf'<h2[^>]*id="[\w.]*\.{name}"', page), name
    index = json.loads((SITE / "search" / "search_index.json").read_text())
    assert any("Estimator" in entry["title"] for entry in index["docs"])


def test_the_front_page_gives_the_map_of_predict(browser, tmp_path):
    photo = Image.open(EXAMPLES / "coffee.jpg").resize((640, 480))
    photo.save(tmp_path / "photo.png")
    sent = base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()
    found = browser.execute_async_script(
        """
        const [text, done] = arguments;
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        window.tryDepth(new Blob([bytes], {type: "image/png"})).then(
          ({values, width, height}) => done([width, height, Array.from(values)]),
          (error) => done([0, 0, String(error)]));
        """,
        sent,
    )
    width, height, values = found
    assert (width, height) == (640, 480), values
    expected = jax_depth.load("tiny")(photo).values
    difference = np.abs(np.reshape(values, (height, width)) - expected)
    assert difference.max() <= 1e-3 * np.ptp(expected)


@pytest.mark.parametrize(
    "path, width, scheme", [("", 390, "light"), ("app/", 1280, "dark")]
)
def test_audit_finds_nothing_serious(browser, address, axe, path, width, scheme):
    try:
        emulate(browser, width, scheme)
        browser.execute_script("localStorage.clear()")  # a palette chosen before
        browser.get(address + path)
        assert complaints(browser, axe) == []
    finally:
        emulate(browser)
        browser.get(address)


def test_a_dropped_photo_is_shown_beside_its_depth(browser, address):
    browser.get_log("performance")
    zone = browser.find_element(By.ID, "try-drop")
    status = browser.find_element(By.ID, "try-status")
    wait = WebDriverWait(browser, 60)

    def drop(name, data):
        text = base64.b64encode(data).decode()
        browser.execute_script(DROP, zone, name, "image/jpeg", text)

    drop("notes.jpg", b"no picture")
    wait.until(lambda _: "notes.jpg could not be read" in status.text)
    drop("pagoda.jpg", (EXAMPLES / "pagoda.jpg").read_bytes())
    wait.until(lambda _: "Depth of pagoda.jpg in" in status.text)
    colours = browser.execute_script(
        """
        const canvas = document.getElementById("try-depth");
        const context = canvas.getContext("2d");
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
        return [data[0], data[2], data[data.length - 4], data[data.length - 2]];
        """
    )
    # Sky above is far, blue; the ground below is near, red.
    assert colours[1] > colours[0] and colours[2] > colours[3]
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            assert url.startswith((address, "data:", "blob:")), url
