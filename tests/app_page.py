"""The app's page in Chromium, driven by selenium: open, drop, choose, read links."""

import base64
import contextlib
import shutil
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs jax_depth[test]")

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_driver = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromedriver"
)

SWITCHES = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--enable-unsafe-swiftshader --disable-dev-shm-usage"
)
# What a drop of a file on an element is made of.
DROP = """
const [element, name, type, text] = arguments;
const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name, {type}));
for (const event of ["dragenter", "dragover", "drop"])
  element.dispatchEvent(
    new DragEvent(event, {bubbles: true, cancelable: true, dataTransfer: data}));
"""


@contextlib.contextmanager
def driven(profile: Path, downloads: Path, *switches: str):
    """Yield a browser whose downloads go to a folder and which logs its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (*SWITCHES.split(), *switches):
        options.add_argument(switch)
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1280,1000")
    preferences = {"download.default_directory": str(downloads)}
    options.add_experimental_option("prefs", preferences)
    logs = {"performance": "ALL", "browser": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    browser = webdriver.Chrome(options, Driver(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


# While gradio draws an element anew it is covered, or no longer the one found.
_NOT_YET = (ElementClickInterceptedException, StaleElementReferenceException)


class Page:
    """The page in one window of the browser."""

    def __init__(self, browser, address, seconds=60):
        self.browser = browser
        self.wait = WebDriverWait(browser, seconds, ignored_exceptions=_NOT_YET)
        browser.get(address)
        self.window = browser.current_window_handle
        self.until("#photo input[type=file]")

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def until(self, selector, contains=""):
        """Wait for an element with a text and return it."""

        def found(_):
            for element in self.all(selector):
                if contains in element.text:
                    return element
            return None

        return self.wait.until(found, f"no {selector} with {contains!r}")

    def drop(self, path, name=None, type="image/jpeg"):
        target = (self.all("#photo .image-frame") or self.all("#photo button"))[0]
        text = base64.b64encode(path.read_bytes()).decode()
        self.browser.execute_script(DROP, target, name or path.name, type, text)

    def choose(self, selector, option):
        self.until(f"{selector} input").click()
        items = "ul[role=listbox] li, [role=option]"

        def chosen(_):
            found = [item for item in self.all(items) if item.text.strip() == option]
            return found and (found[0].click() or True)

        self.wait.until(chosen, f"{selector} does not offer {option!r}")

    def tab(self, name):
        named = lambda _: [t for t in self.all("[role=tab]") if t.text == name]
        [tab] = self.wait.until(named, f"no tab {name}")
        # Until the page is there a veil lies over it.
        self.wait.until(lambda _: tab.click() or True)

    def link(self, text):
        [link] = [link for link in self.all(".downloads a") if link.text == text]
        return link.get_attribute("href")

    def sources(self):
        return [image.get_attribute("src") for image in self.all("#compare img")]
