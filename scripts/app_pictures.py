"""Photograph every tab of the web page to look at, and the picture of docs/app.md.

    python scripts/app_pictures.py FOLDER [--widths 390,1280,1920] [--docs]

starts `jax-depth app` on loopback and drives it in headless Chromium with a made-up
camera: every tab at every width, empty and with results, in light and in dark colours,
as FOLDER/*.png. The tab for several photos of one place is filled by random weights, so
its points form no scene. `--docs` also writes docs/images/app.jpg. Needs
`jax_depth[test]`, Chromium and its driver; takes some minutes.
"""

import argparse
import base64
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import app_audit  # noqa: E402
import app_camera  # noqa: E402
import app_server  # noqa: E402
from app_page import Page, driven  # noqa: E402

from jax_depth.video.writing import VideoWriter  # noqa: E402

PHOTOS = [ROOT / "examples" / f"{name}.jpg" for name in ("pagoda", "coffee", "cat")]
_TABS = ("Photo", "Several photos", "One place", "Video", "Camera")
# What the photo tab shows once it has a result.
_INNER = ("Mesh", "Normals", "Measure")
# Columns and rows of two points to measure between: the roof and the trees in front.
_PLACES = (200, 40, 520, 380)
_OPTIONS = ("--model", "tiny", "--model", "random:depth-anything-3-small")
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
    with tempfile.TemporaryDirectory() as name:
        if arguments.docs:
            documented(Path(name))
        with opened(Path(name), *_OPTIONS) as page:
            taken(page, _TABS, widths, arguments.folder, "empty")
            filled(page, Path(name))
            taken(page, (*_TABS, *_INNER), widths, arguments.folder, "filled")


@contextlib.contextmanager
def opened(folder: Path, *options: str):
    """Yield the page of a server with these options."""
    inner = Path(tempfile.mkdtemp(dir=folder))
    with (
        app_server.command(inner, *options, warm=False) as server,
        driven(inner / "profile", inner, *app_camera.SWITCHES) as browser,
    ):
        yield Page(browser, server[0], seconds=240)


def documented(folder: Path) -> None:
    """Write docs/images/app.jpg, of the page as a plain `jax-depth app` shows it."""
    with opened(folder) as page:
        app_audit.emulate(page.browser, 1280)
        shown(page)
        time.sleep(_SETTLED)
        picture = Image.open(io.BytesIO(whole(page.browser))).convert("RGB")
        picture.save(ROOT / "docs" / "images" / "app.jpg", quality=90)


def taken(page: Page, tabs, widths, folder: Path, state: str) -> None:
    """Keep pictures of these tabs at these widths, in light and in dark."""
    for width in widths:
        for scheme in ("light", "dark"):
            app_audit.emulate(page.browser, width, scheme)
            for tab in tabs:
                if tab in _INNER:
                    page.tab("Photo")
                page.tab(tab)
                time.sleep(_SETTLED)
                path = folder / f"{width}-{scheme}-{tab}-{state}.png"
                path.write_bytes(whole(page.browser))


def shown(page: Page) -> None:
    """Drop a photo and wait for its depth."""
    page.drop(PHOTOS[0])
    page.until("#message", "pixels by tiny")
    page.wait.until(lambda _: len(page.sources()) == 2)


def filled(page: Page, folder: Path) -> None:
    """Put something into every tab and wait for what becomes of it."""
    app_audit.emulate(page.browser, 1280)
    page.tab("Photo")
    shown(page)
    page.until("#scene button").click()
    page.until("#scene-build").click()
    page.until("#scene-note", "distances as entered")
    page.wait.until(lambda _: page.all("#mesh canvas"))
    page.tab("Normals")
    page.until("#normals-show").click()
    page.until("#normals-note", "up is green")
    page.tab("Measure")
    for place, value in zip(
        ("a-column", "a-row", "b-column", "b-row"), _PLACES, strict=True
    ):
        field = page.until(f"#{place} input")
        field.clear()
        field.send_keys(str(value))
    page.until("#measure-go").click()
    page.until("#measure-note", "apart")
    for tab, prefix, files in (
        ("Several photos", "batch", PHOTOS),
        ("One place", "place", PHOTOS[1:]),
        ("Video", "clip", [film(folder / "clip.mp4")]),
    ):
        page.tab(tab)
        field = "#clip" if prefix == "clip" else f"#{prefix}-photos"
        page.all(f"{field} input[type=file]")[0].send_keys("\n".join(map(str, files)))
        page.until(field, files[0].stem)
        page.until(f"#{prefix}-start").click()
    page.until("#clip-message", "frames in")
    page.tab("Several photos")
    page.until("#batch-message", "have depth")
    page.tab("One place")
    page.until("#place-note", "first seen from")
    page.wait.until(lambda _: page.all("#place-mesh canvas"))
    page.tab("Camera")
    for text in ("Click to Access Webcam", "Start"):
        app_camera.press(page, text)
    page.until("#live-message", "frames a second")
    app_camera.press(page, "Stop")


def film(path: Path) -> Path:
    """Write a second of a photo that is panned over."""
    photo = np.asarray(Image.open(PHOTOS[0]).convert("RGB"))
    with VideoWriter(path, 10) as writer:
        for k in range(10):
            writer.write(photo[20:404, 8 * k : 8 * k + 512], k / 10)
    return path


def whole(browser) -> bytes:
    """Return a PNG of the page from top to bottom."""
    options = {"captureBeyondViewport": True}
    answer = browser.execute_cdp_cmd("Page.captureScreenshot", options)
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    main()
