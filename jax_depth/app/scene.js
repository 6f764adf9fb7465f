// The first view of a mesh is the photo's own camera, and it turns as far as the scene
// holds. Gradio's component takes an orbit around the middle of the mesh alone; its
// engine, Babylon, is asked for the camera itself. Where it is not found, the orbit that
// scene_view.py gives is what is seen.
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
    camera.lowerAlphaLimit = camera.lowerBetaLimit = quarter - TURN;
    camera.upperAlphaLimit = camera.upperBetaLimit = quarter + TURN;
    camera.lowerRadiusLimit = NEAREST * view.middle;
    camera.upperRadiusLimit = FARTHEST * view.middle;
    camera.panningDistanceLimit = 0.3 * view.middle;
    camera.panningOriginTarget.set(0, 0, -view.middle);
    camera.minZ = 0.02 * view.middle;
  };

  // Until the user turns it: the viewer has its own way with a new mesh, at its own time.
  let shown = null;
  let untouched = true;

  const look = async () => {
    const note = document.querySelector("#scene-note [data-view]");
    const canvas = document.querySelector("#mesh canvas");
    if (!note || !canvas) return;
    const scene = (await engineStore())?.LastCreatedScene;
    const camera = scene?.activeCamera;
    if (!camera || !scene.meshes.some((mesh) => mesh.getTotalVertices())) return;
    if (shown !== note.dataset.view) untouched = true;
    shown = note.dataset.view;
    if (untouched) place(camera, canvas, JSON.parse(shown));
    // Said in the page: how far it is turned, in degrees.
    canvas.dataset.turned = JSON.stringify([camera.alpha, camera.beta].map(
      (angle) => Math.round((1800 * angle) / Math.PI - 900) / 10));
  };

  setInterval(look, 250);
  for (const kind of ["pointerdown", "wheel", "keydown"])
    document.addEventListener(kind, (event) => {
      if (event.target.closest?.("#mesh canvas")) untouched = false;
    }, { capture: true, passive: true });
  document.addEventListener("click", (event) => {
    // The button that brings the view back brings this one back.
    if (event.target.closest?.("#mesh button")) untouched = true;
  });
})();
