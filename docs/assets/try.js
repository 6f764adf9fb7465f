// The front page's own depth: tiny through onnxruntime-web, in this browser alone.
// scripts/site/build.py puts the model, the runtime and the colours into try/.

const folder = new URL("try/", import.meta.url);
const part = (id) => document.getElementById(`try-${id}`);
const say = (text) => { part("status").textContent = text; };

let runtime;
const sessions = {};
let colours;

// Nothing is loaded before a photo is given: 14 MB of runtime and 18 MB of model.
async function session(size) {
  if (!runtime) {
    runtime = await import(new URL("ort.wasm.min.mjs", folder));
    runtime.env.wasm.wasmPaths = folder.href;
    runtime.env.wasm.numThreads = 1; // more need headers that few servers send
    colours = await (await fetch(new URL("colours.json", folder))).json();
  }
  sessions[size] ??= runtime.InferenceSession.create(
    new URL(`tiny-${size}.onnx`, folder).href
  );
  return sessions[size];
}

// RGB bytes of a photo and the canvas that shows it, 640 x 480 or 480 x 640.
function pixels(image) {
  const lying = image.width >= image.height;
  const canvas = part("photo");
  [canvas.width, canvas.height] = lying ? [640, 480] : [480, 640];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    rgb[j++] = rgba[i];
    rgb[j++] = rgba[i + 1];
    rgb[j++] = rgba[i + 2];
  }
  return { rgb, width: canvas.width, height: canvas.height };
}

// Near red, far blue: the map's own range over the colours of `jax-depth predict`.
function draw(values, width, height) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const canvas = part("depth");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const scale = 255 / Math.max(high - low, 1e-12);
  for (let i = 0; i < values.length; i++) {
    const [r, g, b] = colours[Math.round((values[i] - low) * scale)];
    image.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

// The map of a picture: { values, width, height, milliseconds }.
export async function depth(blob) {
  const image = await createImageBitmap(blob); // upright as EXIF says
  const { rgb, width, height } = pixels(image);
  const model = await session(`${width}x${height}`);
  const began = performance.now();
  const photo = new runtime.Tensor("uint8", rgb, [1, height, width, 3]);
  const { depth: map } = await model.run({ photo });
  draw(map.data, width, height);
  const milliseconds = performance.now() - began;
  return { values: map.data, width, height, milliseconds };
}

async function show(blob, name) {
  say(`Reading ${name} …`);
  try {
    const found = await depth(blob);
    part("result").hidden = false;
    say(
      `Depth of ${name} in ${(found.milliseconds / 1000).toFixed(1)} s. ` +
        "The numbers behind it have no unit: compare within this photo."
    );
  } catch (error) {
    say(`${name} could not be read as a picture (${error.message}).`);
  }
}

function begin() {
  const input = part("file");
  input.addEventListener("change", () => {
    if (input.files.length) show(input.files[0], input.files[0].name);
  });
  const zone = part("drop");
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) show(file, file.name);
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const name = `${button.dataset.example}.jpg`;
      const answer = await fetch(new URL(name, folder));
      if (answer.ok) show(await answer.blob(), name);
      else say("This copy of the site was built without the model.");
    });
  }
}

window.tryDepth = depth;
begin();
