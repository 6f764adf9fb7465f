"""The tab for many photos: drop them, get one ZIP."""

import asyncio
import secrets
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from jax_depth import outputs
from jax_depth.app.downloads import FILES
from jax_depth.app.encode import encode
from jax_depth.app.looks import Look
from jax_depth.app.messages import Refusal, progress_html, refusal_html
from jax_depth.app.service import Prediction, Service
from jax_depth.app.settings import Chosen, SettingsPanel

_THUMBNAIL = 360


class BatchTab:
    """Components of the tab and what they do."""

    def __init__(self, service: Service, folder: Path):
        """Lay out the tab, inside a `gr.Blocks` context.

        Args:
            service: answers.
            folder: under which results are written.
        """
        self._service, self._folder = service, folder
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                photos = upload(
                    f"Photos, at most {service.limits.batch_photos}", "batch-photos"
                )
                files = gr.CheckboxGroup(
                    [(label, file) for file, (_, label) in FILES.items()],
                    value=["depth.png", "color.png"],
                    label="Files of each photo",
                )
                self._settings = SettingsPanel(
                    service.models, service.limits.size, prefix="batch-"
                )
                start = gr.Button("Compute", variant="primary", elem_id="batch-start")
            with gr.Column(scale=2, min_width=320):
                message = gr.HTML(elem_id="batch-message")
                gallery = gr.Gallery(
                    label="Depth",
                    columns=3,
                    object_fit="contain",
                    buttons=["fullscreen"],
                    elem_id="batch-gallery",
                )
                download = gr.DownloadButton(
                    "Download all (ZIP)", interactive=False, elem_id="batch-download"
                )
        start.click(
            self._run,
            [photos, files, *self._settings.inputs],
            [message, gallery, download],
            show_progress="hidden",
            api_visibility="private",
        )

    async def _run(
        self, photos: list[str] | None, files: list[str], *settings: Any
    ) -> AsyncIterator[tuple]:
        """Yield the message, the gallery and the download as photos get ready."""
        most = self._service.limits.batch_photos
        try:
            if not photos:
                raise Refusal(422, "drop some photos first")
            if len(photos) > most:
                raise Refusal(
                    422,
                    f"these are {len(photos)} photos; give at most {most} at a time",
                )
            if not files:
                raise Refusal(422, "choose at least one file to make of each photo")
            chosen = self._settings.read(*settings)
        except Refusal as refusal:
            yield refusal_html(refusal), [], gr.DownloadButton(interactive=False)
            return
        async for update in self._compute(photos, files, chosen):
            yield update

    async def _compute(
        self, photos: list[str], files: list[str], chosen: Chosen
    ) -> AsyncIterator[tuple]:
        folder = self._folder / secrets.token_urlsafe(16)
        folder.mkdir()
        waiting = gr.DownloadButton(interactive=False)
        pictures: list[tuple[str, str]] = []
        refusals: list[str] = []
        begun = time.perf_counter()
        yield progress_html(0, len(photos), 0.0, "photos"), pictures, waiting
        with zipfile.ZipFile(folder / "depth.zip", "w") as archive:
            tasks = self._tasks(photos, files, chosen, folder, archive)
            async for name, outcome in tasks:
                if isinstance(outcome, Refusal):
                    refusals.append(refusal_html(outcome))
                else:
                    pictures.append((outcome, name))
                done = len(pictures) + len(refusals)
                seconds = time.perf_counter() - begun
                text = progress_html(done, len(photos), seconds, "photos")
                text += "".join(refusals)
                yield text, pictures, waiting
        text = f"<p>{len(pictures)} of {len(photos)} photos have depth.</p>"
        ready = gr.DownloadButton(value=str(folder / "depth.zip"), interactive=True)
        yield text + "".join(refusals), pictures, ready if pictures else waiting

    async def _tasks(
        self,
        photos: list[str],
        files: list[str],
        chosen: Chosen,
        folder: Path,
        archive: zipfile.ZipFile,
    ) -> AsyncIterator[tuple[str, "str | Refusal"]]:
        """Yield every photo's name and thumbnail, a device batch of them at a time."""
        room = asyncio.Semaphore(self._service.batcher.batch_size)
        lock = asyncio.Lock()
        names = _distinct([Path(photo).name for photo in photos])

        async def one(photo: str, name: str) -> "tuple[str, str | Refusal]":
            async with room:
                try:
                    result = await self._service.predict(
                        Path(photo),
                        name=Path(photo).name,
                        model=chosen.model,
                        size=chosen.size,
                        patient=True,
                    )
                    made = await self._service.in_thread(
                        _make, result, files, chosen.look, folder / f"{name}.jpg"
                    )
                except Refusal as refusal:
                    return name, refusal
            async with lock:
                for file, content in made.items():
                    archive.writestr(f"{name}_{file}", content)
            return name, str(folder / f"{name}.jpg")

        tasks = [
            asyncio.create_task(one(photo, name))
            for photo, name in zip(photos, names, strict=True)
        ]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()


def _make(
    result: Prediction, files: list[str], look: Look, thumbnail: Path
) -> dict[str, bytes]:
    """Write a thumbnail and return the chosen files."""
    options = {"colormap": look.colours, "low": look.low, "high": look.high}
    try:
        colour = outputs.colorize(result.depth, look.colours, look.low, look.high)
        made = {
            file: encode(result.depth, format, **(options if format == "color" else {}))
            for file, (format, _) in FILES.items()
            if file in files
        }
    except ValueError as error:
        raise Refusal(422, str(error)) from None
    picture = Image.fromarray(colour)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    picture.save(thumbnail, format="JPEG", quality=90)
    return made


def _distinct(names: list[str]) -> list[str]:
    """Return names without suffix, numbered where two photos share one."""
    taken: dict[str, int] = {}
    distinct = []
    for name in names:
        stem = Path(name).stem
        taken[stem] = taken.get(stem, 0) + 1
        distinct.append(stem if taken[stem] == 1 else f"{stem}_{taken[stem]}")
    return distinct


def upload(label: str, elem_id: str) -> gr.File:
    """Return a component for several photos, whose value is their paths."""
    photos = gr.File(
        label=label,
        file_count="multiple",
        file_types=["image"],
        height=180,
        elem_id=elem_id,
    )
    # As they were uploaded; gradio would leave an empty file for each.
    photos.preprocess = lambda payload: _paths(payload)  # pyright: ignore
    return photos


def _paths(payload: Any) -> list[str] | None:
    return payload and [file.path for file in payload.root]
