"""What people with other eyes, hands and screens need of the page: axe-core, sizes."""

import shutil
import subprocess
import tarfile

import pytest

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
LISTEN = """
window.said = [];
new MutationObserver(() => {
  for (const region of document.querySelectorAll("[aria-live]"))
    if (region.textContent.trim()) window.said.push(region.textContent.trim());
}).observe(document, {subtree: true, childList: true, characterData: true});
"""
_RUN = """
const answer = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((found) => answer(
  found.violations.flatMap(({id, impact, nodes}) =>
    nodes.map((node) => [impact, id, node.html.slice(0, 120)]))));
"""


def fetched_axe(folder):
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
    assert len(found) > 5
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
