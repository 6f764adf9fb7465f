"""Below a result: the photo as a mesh to turn, its normals, distances in it."""

import html
import json
import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from jax_depth.app.in_metres import in_metres
from jax_depth.app.looks import reduced
from jax_depth.app.measure_view import MeasureView
from jax_depth.app.messages import Refusal, refusal_html
from jax_depth.app.service import Prediction, Service
from jax_depth.app.store import Store
from jax_depth.camera import Intrinsics, back_project
from jax_depth.depth_map import DepthMap
from jax_depth.outputs import scene
from jax_depth.outputs.scene.fill import can_fill

# Of what a mesh in a browser is made of, so that it is made in seconds.
_POINTS = 300_000
# Of the downloads; the point map is (h, w, 3) float32 metres, x right, y down, z ahead.
_FILES = {"glb": "GLB", "ply": "PLY, points", "npy": "Point map, NumPy"}
_COLOURS = "To the right is red, up is green, towards the camera is blue."
_UNUSED = "a metric model ignores it"
# Holes are seen as such before it, and neither white nor black photos vanish in it.
_GREY = (0.45, 0.45, 0.45, 1.0)


class SceneView:
    """Components of the view and what they do."""

    def __init__(self, service: Service, store: Store, folder: Path):
        """Lay out the view, inside a `gr.Blocks` context.

        Args:
            service: whose threads make the mesh.
            store: of the results.
            folder: under which meshes are written.
        """
        self._service, self._store, self._folder = service, store, folder
        with gr.Accordion("In three dimensions", open=False, elem_id="scene"):
            gr.HTML(
                "<p>A metric model gives metres. For any other, say how far the "
                "nearest and the farthest point are.</p>"
            )
            with gr.Row():
                self._near = gr.Number(
                    1.0,
                    label="Nearest, metres",
                    info=_UNUSED,
                    min_width=100,
                    elem_id="near",
                )
                self._far = gr.Number(
                    4.0,
                    label="Farthest, metres",
                    info=_UNUSED,
                    min_width=100,
                    elem_id="far",
                )
                self._view = gr.Number(
                    0.0,
                    label="Field of view, degrees",
                    info="0: as the photo says",
                    min_width=100,
                    elem_id="view",
                )
            with gr.Tab("Mesh"):
                self._build = gr.Button("Build", elem_id="scene-build")
                self._note = gr.HTML(elem_id="scene-note")
                self._mesh = viewer("mesh")
                with gr.Row():
                    self._files = [
                        gr.DownloadButton(label, interactive=False, elem_id=suffix)
                        for suffix, label in _FILES.items()
                    ]
            with gr.Tab("Normals"):
                self._show = gr.Button("Show", elem_id="normals-show")
                self._facing = gr.HTML(elem_id="normals-note")
                self._normals = gr.Image(
                    label="Which way surfaces face",
                    type="filepath",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="normals",
                    alt_text="Surface normals; the line above names their colours",
                )
            with gr.Tab("Measure"):
                self._measure = MeasureView(service, store, folder)

    @property
    def measured(self) -> gr.Image:
        """Where the photo of a new result is to be shown."""
        return self._measure.picture

    def connect(
        self, photo: gr.Image, token: gr.State, outdated: Sequence[Any]
    ) -> None:
        """Connect the view to the result it shows.

        Args:
            photo, token: of the photo tab.
            outdated: events after which the mesh is of an older result.
        """
        shown = [self._note, self._mesh, *self._files]
        stated = [self._near, self._far, self._view]
        self._build.click(
            self._make,
            [photo, token, *stated],
            shown,
            show_progress_on=self._mesh,
            api_visibility="private",
        )
        facing = [self._facing, self._normals]
        self._show.click(
            self._face,
            [photo, token, *stated],
            facing,
            show_progress_on=self._normals,
            api_visibility="private",
        )
        self._measure.connect(photo, token, stated, outdated)
        gr.on(outdated, self._nothing, None, shown, api_visibility="private")
        gr.on(outdated, lambda: ("", None), None, facing, api_visibility="private")

    async def _make(self, photo: str | None, token: str | None, *stated: Any) -> tuple:
        """Return the note, the mesh and the downloads."""
        try:
            path = self._file(photo, token, ".glb")
            note, first = await self._service.in_thread(
                _write, self._store.get(token), Path(photo or ""), path, *stated
            )
        except Refusal as refusal:
            return refusal_html(refusal), *self._nothing()[1:]
        files = [
            gr.DownloadButton(
                value=str(path.with_suffix(f".{suffix}")), interactive=True
            )
            for suffix in _FILES
        ]
        text = html.escape(json.dumps(first | {"of": path.parent.name}), quote=True)
        said = f'<p data-view="{text}">{html.escape(note)}</p>'
        return said, gr.Model3D(str(path), camera_position=first["orbit"]), *files

    async def _face(self, photo: str | None, token: str | None, *stated: Any) -> tuple:
        """Return a note and the picture of normals."""
        try:
            path = self._file(photo, token, "_normals.png")
            note = await self._service.in_thread(
                _write_normals, self._store.get(token), Path(photo or ""), path, *stated
            )
        except Refusal as refusal:
            return refusal_html(refusal), None
        return f"<p>{html.escape(_COLOURS)}</p><p>{html.escape(note)}</p>", str(path)

    def _file(self, photo: str | None, token: str | None, ending: str) -> Path:
        """Return where to write a file of a result, in a new folder."""
        if photo is None or self._store.get(token) is None:
            raise Refusal(404, "drop a photo first")
        folder = self._folder / secrets.token_urlsafe(16)
        folder.mkdir()
        return folder / f"{Path(photo).stem}{ending}"

    @staticmethod
    def _nothing() -> tuple:
        return "", None, *(gr.DownloadButton(interactive=False) for _ in _FILES)


def _write(
    result: Prediction, photo: Path, path: Path, *stated: float | None
) -> tuple[str, dict[str, Any]]:
    """Write the mesh; return a sentence about it and its first view."""
    placed = in_metres(result, photo, *stated)
    depth, camera = placed.depth, placed.camera
    try:
        made = scene.Scene(
            result.photo, depth, camera, max_points=_POINTS, fill=can_fill()
        )
        scene.save(made, path)
        scene.save(made, path.with_suffix(".ply"))
        points = back_project(depth.values.astype(np.float64), camera)
        np.save(path.with_suffix(".npy"), points.astype(np.float32))
    except ValueError as error:
        raise Refusal(422, " ".join(str(error).split())) from None
    surface = made.mesh
    middle = float(np.median(-surface.points[:, 2]))
    view = first_view(surface.points, surface.camera, surface.shape, middle)
    return placed.said, view


def _write_normals(
    result: Prediction, photo: Path, path: Path, *stated: float | None
) -> str:
    """Write the picture of normals at the page's size; return where metres are from."""
    placed = in_metres(result, photo, *stated)
    small = reduced(placed.depth.values)
    camera = placed.camera.resized(placed.depth.shape, small.shape)
    try:
        picture = scene.normal_map(DepthMap(small, "metric_depth", "m"), camera)
    except ValueError as error:
        raise Refusal(422, " ".join(str(error).split())) from None
    Image.fromarray(picture).save(path)
    return placed.said


def viewer(elem_id: str) -> gr.Model3D:
    """Return a component that shows a scene; see scene.js."""
    return gr.Model3D(
        label="Drag to turn, scroll to zoom",
        interactive=False,
        height=480,
        clear_color=_GREY,
        elem_id=elem_id,
    )


def first_view(
    points: np.ndarray, camera: Intrinsics, shape: tuple[int, int], middle: float
) -> dict[str, Any]:
    """Return where a photo was taken from, in the terms of an orbiting viewer.

    Args:
        points: (n, 3) of the scene, y up, the photo's camera at 0 looking along -z.
        camera, shape: of the photo.
        middle: distance from the camera to what it turns around.

    Returns:
        tall, wide: tangents of half the photo's angles of view.
        middle: as given.
        orbit: degrees, degrees and distance from the middle of the scene's box, for
            `gr.Model3D`.
    """
    height, width = shape
    centre = (points.min(0) + points.max(0)).astype(float) / 2
    radius = math.hypot(*centre)
    return {
        "tall": height / 2 / camera.fy,
        "wide": width / 2 / camera.fx,
        "middle": middle,
        "orbit": (
            math.degrees(math.atan2(-centre[2], -centre[0])),
            math.degrees(math.acos(-centre[1] / radius)),
            radius,
        ),
    }
