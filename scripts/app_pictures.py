"""Photograph every tab of the web page to look at, and the picture of docs/app.md.

    python scripts/app_pictures.py FOLDER [--widths 390,1280,1920] [--docs]

starts `jax-depth app` on loopback and drives it in headless Chromium with a made-up
camera: every tab at every width, in light and in dark colours, as FOLDER/*.png.
`--docs` also writes docs/images/app.jpg. Needs `jax_depth[test]`, Chromium and its
driver.
"""

import argparse
import base64
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import app_audit  # noqa: E402
import app_camera  # noqa: E402
import app_server  # noqa: E402
from app_page import Page, driven  # noqa: E402

PHOTO = ROOT / "examples" / "pagoda.jpg"
_TABS = ("Photo", "Normals", "Measure", "Several photos", "Video", "Camera")
# Seconds until colours that fade and pictures that are drawn anew have settled.
_SETTLED = 0.7


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--widths", default="390,1280,1920", help="of the window")
    parser.add_argument(
        "--docs", action="store_true", help="also write docs/images/app.jpg"
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    widths = [int(width) for width in arguments.widths.split(",")]
    with (
        tempfile.TemporaryDirectory() as name,
        app_server.command(Path(name), warm=False) as server,
        driven(Path(name) / "profile", Path(name), *app_camera.SWITCHES) as browser,
    ):
        page = Page(browser, server[0], seconds=240)
        shown(page)
        if arguments.docs:
            app_audit.emulate(browser, 1280)
            page.tab("Photo")
            time.sleep(_SETTLED)
            picture = Image.open(io.BytesIO(whole(browser))).convert("RGB")
            picture.save(ROOT / "docs" / "images" / "app.jpg", quality=90)
        unfolded(page)
        for width in widths:
            for scheme in ("light", "dark"):
                app_audit.emulate(browser, width, scheme)
                for tab in _TABS:
                    keep(page, tab, arguments.folder / f"{width}-{scheme}-{tab}.png")


def shown(page: Page) -> None:
    """Drop the photo and wait for its depth."""
    page.drop(PHOTO)
    page.until("#message", "pixels by tiny")
    page.wait.until(lambda _: len(page.sources()) == 2)


def unfolded(page: Page) -> None:
    """Build the mesh and the normals, and start the camera."""
    page.until("#scene button").click()
    page.until("#scene-build").click()
    page.until("#scene-note", "distances as entered")
    page.wait.until(lambda _: page.all("#mesh canvas"))
    page.tab("Normals")
    page.until("#normals-show").click()
    page.until("#normals-note", "up is green")
    page.tab("Camera")
    for text in ("Click to Access Webcam", "Start"):
        app_camera.press(page, text)
    page.until("#live-message", "frames a second")
    app_camera.press(page, "Stop")


def keep(page: Page, tab: str, path: Path) -> None:
    """Go to a tab and keep a picture of all of it."""
    page.tab(tab)
    time.sleep(_SETTLED)
    path.write_bytes(whole(page.browser))


def whole(browser) -> bytes:
    """Return a PNG of the page from top to bottom."""
    options = {"captureBeyondViewport": True}
    answer = browser.execute_cdp_cmd("Page.captureScreenshot", options)
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    main()
