"""The tab for photos of one place: one scene, first seen as the first photo saw it."""

import dataclasses
import html
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from jax_depth.app.batch_tab import upload
from jax_depth.app.decode import decode
from jax_depth.app.looks import reduced
from jax_depth.app.messages import Refusal, refusal_html
from jax_depth.app.models import find_model
from jax_depth.app.scene_view import first_view, viewer
from jax_depth.app.service import Service, failed
from jax_depth.camera import Pose
from jax_depth.formats.image import as_bytes
from jax_depth.inference.estimator import Estimator
from jax_depth.models.architectures import sees_views
from jax_depth.views import Views

# Of one scene: the time of the network grows with the square of their number, and
# others' photos wait for as long.
_PHOTOS = 16
# What a browser turns smoothly.
_POINTS = 300_000
_FILES = {"glb": "GLB, points", "ply": "PLY, points", "npz": "Everything, NumPy"}
# From the library's axes, y down and z ahead, to those of viewers.
_Y_UP = np.array([1, -1, -1], np.float32)


def any_view(models: Mapping[str, Estimator]) -> list[str]:
    """Return the names of the models that take several photos of one place."""
    return [name for name, model in models.items() if sees_views(model.config)]


class PlaceTab:
    """Components of the tab and what they do."""

    def __init__(self, service: Service, folder: Path):
        """Lay out the tab, inside a `gr.Blocks` context.

        Args:
            service: whose models and queue are used; one of the models at least takes
                several photos, see `any_view`.
            folder: under which scenes are written.
        """
        self._service, self._folder = service, folder
        self._most = min(_PHOTOS, service.limits.batch_photos)
        names = any_view(service.models)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                photos = upload(
                    f"Photos of one place, at most {self._most}", "place-photos"
                )
                model = gr.Dropdown(
                    names, value=names[0], label="Model", elem_id="place-model"
                )
                least = gr.Slider(
                    0,
                    90,
                    value=40,
                    step=5,
                    label="Leave out the least confident pixels, percent",
                    elem_id="place-confidence",
                )
                start = gr.Button("Compute", variant="primary", elem_id="place-start")
            with gr.Column(scale=2, min_width=320):
                note = gr.HTML(elem_id="place-note")
                scene = viewer("place-mesh")
                with gr.Row():
                    files = [
                        gr.DownloadButton(
                            label, interactive=False, elem_id=f"place-{suffix}"
                        )
                        for suffix, label in _FILES.items()
                    ]
        # One scene at a time: the others are shown their place in the queue.
        start.click(
            self._run,
            [photos, model, least],
            [note, scene, *files],
            show_progress_on=scene,
            concurrency_limit=1,
            api_visibility="private",
        )

    def _run(self, photos: list[str] | None, model: str, least: float) -> tuple:
        """Return the note, the scene and the downloads."""
        try:
            with self._service.work.clip():
                views, notes = compute(self._service, photos or [], model, self._most)
                folder = self._folder / secrets.token_urlsafe(16)
                folder.mkdir()
                view = write(views, folder, least / 100)
        except Refusal as refusal:
            nothing = (gr.DownloadButton(interactive=False) for _ in _FILES)
            return refusal_html(refusal), None, *nothing
        text = html.escape(json.dumps(view | {"of": folder.name}), quote=True)
        said = html.escape(" ".join(notes))
        files = [
            gr.DownloadButton(value=str(folder / f"scene.{suffix}"), interactive=True)
            for suffix in _FILES
        ]
        shown = gr.Model3D(str(folder / "scene.glb"), camera_position=view["orbit"])
        return f'<p data-view="{text}">{said}</p>', shown, *files


def compute(
    service: Service, photos: Sequence[str], model: str, most: int
) -> tuple[Views, list[str]]:
    """Return the views of uploaded photos, and what is said about them.

    Args:
        service: whose models and queue are used.
        photos: the files; differing sizes are cropped to what they share.
        model: one of `any_view`.
        most: photos taken.

    Returns:
        The views, whose world is the first photo's camera; and sentences.

    Raises:
        Refusal: no photo or too many, a photo that cannot be read, a network that
            failed, or a server that is busy or stops.
    """
    if not photos:
        raise Refusal(422, "drop some photos of one place first")
    if len(photos) > most:
        raise Refusal(
            422, f"these are {len(photos)} photos; give at most {most} at a time"
        )
    limits = service.limits
    estimator = find_model(service.models, model)
    paths = [Path(photo) for photo in photos]
    # At the page's size: a scene of the page shows no more.
    pictures = [reduced(as_bytes(decode(p, limits, p.name))) for p in paths]

    def run(_):
        # An array of one object, since what the queue computes is arrays.
        found = np.empty(1, object)
        found[0] = estimator.views(pictures, fit="crop")
        return found

    nothing = np.zeros((1, 1, 1, 3), np.float32)
    waiting = service.batcher.submit(object(), run, nothing, limits.seconds)
    try:
        views = waiting.result().values
    except Refusal:
        raise
    except ValueError as error:
        raise Refusal(422, " ".join(str(error).split())) from None
    except Exception as error:
        raise failed(error) from error
    views = dataclasses.replace(views, names=[path.stem for path in paths])
    unit = "metres" if views.depths[0].unit == "m" else "a unit of its own"
    notes = [f"{len(views)} photos, in {unit}, first seen from {paths[0].name}."]
    if len({picture.shape for picture in pictures}) > 1:
        notes.append("They differ in size and were cropped to what they share.")
    return from_first(views), notes


def from_first(views: Views) -> Views:
    """Return the views with the first photo's camera as the world's frame."""
    first = views.poses[0]
    poses = [Pose.identity()]
    for pose in views.poses[1:]:
        turn = pose.rotation @ first.rotation.T
        poses.append(
            Pose(np.column_stack([turn, pose.translation - turn @ first.translation]))
        )
    return dataclasses.replace(views, poses=poses)


def write(views: Views, folder: Path, confidence: float) -> dict[str, Any]:
    """Write the files; return their first view."""
    try:
        points, _ = views.points(confidence)
        for suffix in _FILES:
            path = folder / f"scene.{suffix}"
            views.save(path, confidence=confidence, max_points=_POINTS)
    except ValueError as error:
        text = " ".join(str(error).split()).replace(f"{folder}/", "")
        raise Refusal(422, text) from None
    first = views.depths[0]
    middle = float(np.nanmedian(first.values))
    # `free`: unlike one photo's surface, a scene can be looked at from behind.
    view = first_view(points * _Y_UP, views.cameras[0], first.shape, middle)
    return view | {"free": True}
