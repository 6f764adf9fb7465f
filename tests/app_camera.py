"""A test of the page's live camera, which Chromium makes up.

Imported by `test_app_browser.py`, whose browser and server it shares.
"""

import json
import re
import time

import pytest

SWITCHES = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def press(page, text):
    """Press the button of the camera that says so."""
    said = lambda _: [b for b in page.all("#camera button") if b.text == text]
    page.wait.until(said, f"no button {text!r}")[0].click()


@pytest.mark.slow
def test_a_camera_is_live_and_frames_are_dropped(page, browser):
    page.tab("Camera")
    press(page, "Click to Access Webcam")
    press(page, "Start")
    said = lambda: page.until("#live-message", "frames a second").text
    assert re.fullmatch(r"\d+ x \d+ pixels by tiny, [\d.]+ frames a second", said())
    shown = lambda: page.all("#live img")[0].get_attribute("src")
    first = shown()
    assert first.startswith("data:image/jpeg;base64,")
    page.wait.until(lambda _: shown() != first)
    browser.get_log("performance")
    time.sleep(3)
    sent = 0
    for line in browser.get_log("performance"):
        params = json.loads(line["message"])["message"]["params"]
        sent += "/gradio_api/stream/" in params.get("request", {}).get("url", "")
    press(page, "Stop")
    assert sent > 10
    time.sleep(1)
    last = shown()
    # Had frames been queued, they would still come.
    time.sleep(1)
    assert shown() == last
