// Names and keys for what gradio leaves without: the slider between photo and depth,
// pictures, examples, messages for screen readers. Gradio replaces elements as it
// pleases, so each is put right whenever it changes.
(() => {
  const STEP = 5; // percent of the width a key moves the slider by

  const set = (element, attribute, value) => {
    if (element && element.getAttribute(attribute) !== value)
      element.setAttribute(attribute, value);
  };
  const stem = (image) =>
    decodeURIComponent(image.src.split("/").pop() ?? "").replace(/\.[^.]*$/, "");

  // How far the slider is to the right, in percent of the picture.
  const share = () => {
    const picture = document.querySelector("#compare img")?.getBoundingClientRect();
    const line = document.querySelector("#compare .inner")?.getBoundingClientRect();
    if (!picture?.width || !line) return null;
    return (100 * (line.left + line.width / 2 - picture.left)) / picture.width;
  };

  // The slider follows the mouse only, so a key is a short drag of it.
  const move = (handle, to) => {
    const picture = document.querySelector("#compare img").getBoundingClientRect();
    const line = handle.querySelector(".inner").getBoundingClientRect();
    const clientY = picture.top + picture.height / 2;
    const at = (type, clientX, target) =>
      target.dispatchEvent(
        new MouseEvent(type, { clientX, clientY, view: window, bubbles: true }));
    const end = picture.left + (picture.width * Math.min(100, Math.max(0, to))) / 100;
    at("mousedown", line.left + line.width / 2, handle);
    at("mousemove", end, window);
    at("mouseup", end, window);
  };

  const keyed = (event) => {
    const handle = event.target.closest?.("#compare [data-testid=slider]");
    const now = handle ? share() : null;
    if (now === null) return;
    const goals = {
      ArrowLeft: now - STEP, ArrowDown: now - STEP, PageDown: now - 4 * STEP,
      ArrowRight: now + STEP, ArrowUp: now + STEP, PageUp: now + 4 * STEP,
      Home: 0, End: 100,
    };
    if (!(event.key in goals)) return;
    event.preventDefault();
    move(handle, goals[event.key]);
    requestAnimationFrame(tidy);
  };

  const tidy = () => {
    const slider = document.querySelector("#compare [data-testid=slider]");
    if (slider) {
      const now = Math.round(share() ?? 50);
      set(slider, "role", "slider");
      set(slider, "tabindex", "0");
      set(slider, "aria-label", "Photo to the left, its depth to the right");
      set(slider, "aria-orientation", "horizontal");
      set(slider, "aria-valuemin", "0");
      set(slider, "aria-valuemax", "100");
      set(slider, "aria-valuenow", String(now));
      set(slider, "aria-valuetext", `${now} % photo`);
    }
    const compared = document.querySelectorAll("#compare img");
    set(compared[0], "alt", "The photo");
    set(compared[1], "alt", "Its depth in colours; the legend below names them");
    for (const image of document.querySelectorAll("#photo img"))
      set(image, "alt", "The photo that was dropped");
    for (const button of document.querySelectorAll("button.gallery-item")) {
      const image = button.querySelector("img");
      if (!image) continue;
      set(image, "alt", `Example: ${stem(image)}`);
      set(button, "title", `Example: ${stem(image)}`);
    }
    for (const image of document.querySelectorAll("#live img"))
      set(image, "alt", "Depth of what the camera sees, in colours; the legend names them");
    for (const image of document.querySelectorAll("#batch-gallery img"))
      if (!image.alt) set(image, "alt", `Depth of ${stem(image)}`);
    // A name that hides the text one reads, and names of what nothing can be done with.
    const named = ".upload-container[aria-label], #camera .capture-button[aria-label]";
    for (const button of document.querySelectorAll(named))
      button.removeAttribute("aria-label");
    for (const nothing of document.querySelectorAll("div.empty[aria-label]"))
      nothing.removeAttribute("aria-label");
    for (const canvas of document.querySelectorAll("canvas")) {
      set(canvas, "tabindex", "0");
      set(canvas, "role", "img");
      set(canvas, "aria-label", "The photo in three dimensions; drag to turn it");
    }
  };

  let due = false;
  const later = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; tidy(); });
  };
  document.addEventListener("keydown", keyed, true);
  document.addEventListener("load", later, true);
  document.addEventListener("pointerup", later, true);
  window.addEventListener("resize", later);
  new MutationObserver(later).observe(document, {
    subtree: true, childList: true,
    attributes: true, attributeFilter: ["src", "tabindex", "aria-label"],
  });
})();
