// The value under the pointer, from what looks.py left in #depth-values. Listeners are
// on the document, since gradio replaces the elements of its page as it pleases.
(() => {
  let source = null;
  let values = null;

  const load = () => {
    const text = document.getElementById("depth-values")?.dataset.values ?? null;
    if (text === source) return;
    source = text;
    values = text === null ? null : JSON.parse(text);
    if (values === null) return;
    const bytes = Uint8Array.from(atob(values.levels), (c) => c.charCodeAt(0));
    values.levels = new Uint16Array(bytes.buffer);
  };

  const nearest = (position, count, step) =>
    Math.min(count - 1, Math.max(0, Math.floor(position / step)));

  const show = (event) => {
    const line = document.getElementById("depth-readout");
    const image = document.querySelector("#compare img");
    if (!line || !image) return;
    load();
    const box = image.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * values?.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * values?.height);
    const inside =
      values && x >= 0 && y >= 0 && x < values.width && y < values.height &&
      event.target.closest?.("#compare");
    if (!inside) return;
    const rows = values.levels.length / values.columns;
    const column = nearest(x, values.columns, values.step);
    const row = nearest(y, rows, values.step);
    const value = values.low + values.span * values.levels[row * values.columns + column];
    const text = values.unit ? value.toFixed(2) : String(Number(value.toPrecision(4)));
    line.textContent = `${values.name} ${text} ${values.unit} at (${x}, ${y})`;
  };

  for (const name of ["pointermove", "pointerdown", "click"])
    document.addEventListener(name, show, { capture: true, passive: true });
})();
