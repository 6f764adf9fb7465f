"""Below a result: the photo as a mesh to turn, and as a GLB file."""

import html
import importlib.util
import json
import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from jax_depth.app.messages import refusal_html
from jax_depth.app.refusal import Refusal
from jax_depth.app.service import Prediction, Service
from jax_depth.app.store import Store
from jax_depth.camera import back_project
from jax_depth.outputs import scene
from jax_depth.outputs.scene.surface import Surface

# Of a mesh in a browser: a phone still turns it, and the file stays below 20 MB.
_POINTS = 300_000
# Of the downloads; the point map is (h, w, 3) float32 metres, x right, y down, z ahead.
_FILES = {"glb": "GLB", "ply": "PLY, points", "npy": "Point map, NumPy"}
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
                    1.0, label="Nearest, metres", min_width=100, elem_id="near"
                )
                self._far = gr.Number(
                    4.0, label="Farthest, metres", min_width=100, elem_id="far"
                )
                self._view = gr.Number(
                    0.0,
                    label="Field of view, degrees",
                    info="0: as the photo says",
                    min_width=100,
                    elem_id="view",
                )
            self._build = gr.Button("Build", elem_id="scene-build")
            self._note = gr.HTML(elem_id="scene-note")
            self._mesh = gr.Model3D(
                label="Drag to turn, scroll to zoom",
                interactive=False,
                height=480,
                clear_color=_GREY,
                elem_id="mesh",
            )
            with gr.Row():
                self._files = [
                    gr.DownloadButton(label, interactive=False, elem_id=suffix)
                    for suffix, label in _FILES.items()
                ]

    def connect(
        self, photo: gr.Image, token: gr.State, outdated: Sequence[Any]
    ) -> None:
        """Connect the view to the result it shows.

        Args:
            photo, token: of the photo tab.
            outdated: events after which the mesh is of an older result.
        """
        shown = [self._note, self._mesh, *self._files]
        self._build.click(
            self._make,
            [photo, token, self._near, self._far, self._view],
            shown,
            show_progress_on=self._mesh,
            api_visibility="private",
        )
        gr.on(outdated, self._nothing, None, shown, api_visibility="private")

    async def _make(
        self,
        photo: str | None,
        token: str | None,
        near: float | None,
        far: float | None,
        view: float | None,
    ) -> tuple:
        """Return the note, the mesh and the downloads."""
        try:
            result = self._store.get(token)
            if photo is None or result is None:
                raise Refusal(404, "drop a photo first")
            folder = self._folder / secrets.token_urlsafe(16)
            folder.mkdir()
            path = folder / f"{Path(photo).stem}.glb"
            note, first = await self._service.in_thread(
                _write, result, Path(photo), path, near, far, view
            )
        except Refusal as refusal:
            return refusal_html(refusal), *self._nothing()[1:]
        files = [
            gr.DownloadButton(
                value=str(path.with_suffix(f".{suffix}")), interactive=True
            )
            for suffix in _FILES
        ]
        text = html.escape(json.dumps(first | {"of": folder.name}), quote=True)
        said = f'<p data-view="{text}">{html.escape(note)}</p>'
        return said, gr.Model3D(str(path), camera_position=first["orbit"]), *files

    @staticmethod
    def _nothing() -> tuple:
        return "", None, *(gr.DownloadButton(interactive=False) for _ in _FILES)


def _write(
    result: Prediction,
    photo: Path,
    path: Path,
    near: float | None,
    far: float | None,
    view: float | None,
) -> tuple[str, dict[str, Any]]:
    """Write the mesh; return a sentence about it and its first view."""
    depth, shape = result.depth, result.depth.shape
    try:
        if depth.unit == "m":
            distances = "distances by the model"
        elif near is None or far is None:
            raise ValueError(f"{depth.model} gives no metres; enter both distances")
        else:
            depth = scene.between(depth, near, far)
            distances = f"distances as entered, {near:g} to {far:g} m"
        if not view:
            camera, source = scene.find_camera(photo, shape)
        else:
            camera = scene.camera_from_view(shape, view)
            source = f"{view:g} degrees across the longer side, as entered"
        made = scene.Scene(
            result.photo, depth, camera, max_points=_POINTS, fill=_can_fill()
        )
        scene.save(made, path)
        scene.save(made, path.with_suffix(".ply"))
        points = back_project(depth.values.astype(np.float64), camera)
        np.save(path.with_suffix(".npy"), points.astype(np.float32))
    except ValueError as error:
        raise Refusal(422, " ".join(str(error).split())) from None
    return f"Camera: {source}; {distances}", _first_view(made.surface)


def _can_fill() -> bool:
    """Whether OpenCV is there to paint what is behind objects."""
    return importlib.util.find_spec("cv2") is not None


def _first_view(surface: Surface) -> dict[str, Any]:
    """Return where the photo was taken from, in the terms of an orbiting viewer.

    Returns:
        tall, wide: tangents of half the photo's angles of view.
        middle: metres from the camera to what it turns around.
        orbit: degrees, degrees and metres from the middle of the mesh's box, for
            `gr.Model3D`.
    """
    (height, width), camera = surface.shape, surface.camera
    middle = (surface.points.min(0) + surface.points.max(0)).astype(float) / 2
    radius = math.hypot(*middle)
    return {
        "tall": height / 2 / camera.fy,
        "wide": width / 2 / camera.fx,
        "middle": float(np.median(-surface.points[:, 2])),
        "orbit": (
            math.degrees(math.atan2(-middle[2], -middle[0])),
            math.degrees(math.acos(-middle[1] / radius)),
            radius,
        ),
    }
