// The first view of a mesh is the photo's own camera, and it turns as far as the scene
// holds, all around where several photos made it. Gradio's component takes an orbit
// around the middle of the mesh alone; its engine, Babylon, is asked for the camera
// itself. Where it is not found, the orbit that scene_view.py gives is what is seen.
(() => {
  const TURN = (25 * Math.PI) / 180;
  const NEAREST = 0.3, FARTHEST = 1.5; // distances from the middle, of that at first

  performance.setResourceTimingBufferSize(2000);

  const engineStore = async () => {
    const loaded = [
      ...performance.getEntriesByType("resource").map((entry) => entry.name),
      ...[...document.querySelectorAll("link[rel=modulepreload]")].map((l) => l.href),
    ];
    const address = loaded.find((name) => /\/engineStore-[^/]*\.js/.test(name));
    if (!address) return null;
    const found = await import(address);
    return Object.values(found).find((value) => "LastCreatedScene" in value) ?? null;
  };

  // Put the camera where the photo was taken from, so that the photo fits the canvas.
  const place = (camera, canvas, view) => {
    const wide = canvas.clientWidth / canvas.clientHeight;
    const tall = Math.max(view.tall, view.wide / wide); // tangents of half angles
    camera.fov = 2 * Math.atan(tall);
    camera.lowerRadiusLimit = camera.upperRadiusLimit = null;
    camera.lowerAlphaLimit = camera.upperAlphaLimit = null;
    camera.lowerBetaLimit = camera.upperBetaLimit = null;
    camera.target.set(0, 0, -view.middle);
    const quarter = Math.PI / 2;
    camera.alpha = camera.beta = quarter;
    camera.radius = view.middle;
    camera.inertialAlphaOffset = camera.inertialBetaOffset = 0;
    camera.minZ = 0.02 * view.middle;
    if (view.free) return;
    camera.lowerAlphaLimit = camera.lowerBetaLimit = quarter - TURN;
    camera.upperAlphaLimit = camera.upperBetaLimit = quarter + TURN;
    camera.lowerRadiusLimit = NEAREST * view.middle;
    camera.upperRadiusLimit = FARTHEST * view.middle;
    camera.panningDistanceLimit = 0.3 * view.middle;
    camera.panningOriginTarget.set(0, 0, -view.middle);
  };

  // Of each viewer the line that says how its scene is first seen.
  const VIEWERS = { "#mesh": "#scene-note", "#place-mesh": "#place-note" };
  // Until the user turns it: the viewer has its own way with a new mesh, at its own time.
  const state = {};
  for (const viewer in VIEWERS) state[viewer] = { shown: null, untouched: true };

  const look = async (viewer) => {
    const note = document.querySelector(`${VIEWERS[viewer]} [data-view]`);
    const canvas = document.querySelector(`${viewer} canvas`);
    if (!note || !canvas) return;
    const store = await engineStore();
    const own = (engine) => engine.getRenderingCanvas?.() === canvas;
    // An engine that found no graphics card stays behind without a scene.
    const scene = store?.Instances?.filter(own).flatMap((e) => e.scenes).at(-1);
    const camera = scene?.activeCamera;
    if (!camera || !scene.meshes.some((mesh) => mesh.getTotalVertices())) return;
    const now = state[viewer];
    if (now.shown !== note.dataset.view) now.untouched = true;
    now.shown = note.dataset.view;
    // The viewer draws on at its first size when a phone or a window is turned.
    const size = `${canvas.clientWidth} x ${canvas.clientHeight}`;
    if (now.size !== size && canvas.clientWidth) scene.getEngine().resize();
    now.size = size;
    if (now.untouched) place(camera, canvas, JSON.parse(now.shown));
    // A pixel of a photo is larger than one of the page; a mesh has no points.
    for (const { material } of scene.meshes) if (material) material.pointSize = 2;
    // Said in the page: how far it is turned, in degrees.
    canvas.dataset.turned = JSON.stringify([camera.alpha, camera.beta].map(
      (angle) => Math.round((1800 * angle) / Math.PI - 900) / 10));
  };

  setInterval(() => Object.keys(VIEWERS).forEach(look), 250);
  const touched = (event, what, untouched) => {
    for (const viewer in VIEWERS)
      if (event.target.closest?.(`${viewer} ${what}`)) state[viewer].untouched = untouched;
  };
  for (const kind of ["pointerdown", "wheel", "keydown"])
    document.addEventListener(kind, (event) => touched(event, "canvas", false),
      { capture: true, passive: true });
  // The button that brings the view back brings this one back.
  document.addEventListener("click", (event) => touched(event, "button", true));
})();
