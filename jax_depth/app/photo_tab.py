"""The tab for one photo: drop it, compare, read values, download."""

import asyncio
import html
import secrets
from pathlib import Path
from typing import Any

import gradio as gr

from jax_depth.app.downloads import links
from jax_depth.app.looks import (
    Look,
    legend,
    summary,
    values_under_pointer,
    write_pictures,
)
from jax_depth.app.messages import Refusal, refusal_html
from jax_depth.app.scene_view import SceneView
from jax_depth.app.service import Prediction, Service
from jax_depth.app.settings import SettingsPanel
from jax_depth.app.store import Store

_HINT = "Move the pointer over the picture, or tap it, to read a value."
# Message, slider, legend and downloads without a result.
_NOTHING = ("", None, "", "")
_MEANING = """<details><summary>What do the numbers mean?</summary>
<p>A <em>metric</em> model gives metres, measured along the direction in which the
camera looks, and as good as the model is at places like this one.</p>
<p>Every other model gives <em>inverse depth</em>: larger is nearer, and the numbers
have no unit. Its scale and its zero are the model's own and differ from photo to photo,
so twice the number is not half the distance, and a 5 here is not a 5 in another photo.
It tells which of two points of this photo is nearer, and where something ends.</p>
</details>"""


class PhotoTab:
    """Components of the tab and what they do."""

    def __init__(
        self, service: Service, store: Store, folder: Path, examples: list[Path]
    ):
        """Lay out the tab, inside a `gr.Blocks` context.

        Args:
            service: answers.
            store: keeps results for the downloads.
            folder: under which the pictures shown are written.
            examples: photos to try.
        """
        self._service, self._store, self._folder = service, store, folder
        with gr.Row(elem_id="photo-row"):
            with gr.Column(scale=1, min_width=280, elem_id="photo-side"):
                photo = gr.Image(
                    label="Photo",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    image_mode=None,
                    buttons=[],
                    height=240,
                    elem_id="photo",
                )
                # As it was uploaded: gradio would open it before any limit is checked.
                photo.preprocess = lambda payload: payload and payload.path
                if examples:
                    gr.Examples(
                        [[str(path)] for path in examples], photo, label="Examples"
                    )
                self._settings = SettingsPanel(service.models, service.limits.size)
            with gr.Column(scale=2, min_width=320, elem_id="photo-result"):
                message = gr.HTML(elem_id="message")
                slider = gr.ImageSlider(
                    label="Photo and depth",
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="compare",
                    max_height=640,
                )
                key = gr.HTML(elem_id="legend")
                gr.HTML(f'<p id="depth-readout">{_HINT}</p>{_MEANING}')
                values = gr.HTML(visible="hidden")
                downloads = gr.HTML(elem_id="downloads")
                view = SceneView(service, store, folder)
        token = gr.State(None)
        settings = self._settings
        changes = [photo.change, settings.model.change, settings.size.change]
        view.connect(photo, token, changes)
        shown = [message, slider, key, downloads]
        gr.on(
            changes,
            self._compute,
            [photo, *settings.inputs],
            [*shown, values, token, settings.low, settings.high, view.measured],
            show_progress_on=slider,
            trigger_mode="always_last",
            api_visibility="private",
        )
        gr.on(
            settings.look_changes,
            self._recolour,
            [photo, token, *settings.inputs],
            shown,
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )

    async def _compute(self, photo: str | None, *settings: Any) -> tuple:
        """Return what `_shown` does, values, token, range, the photo to measure in."""
        nothing = *_NOTHING[1:], "", None, gr.skip(), gr.skip(), None
        if photo is None:
            return "", *nothing
        try:
            chosen = self._settings.read(*settings)
            path = Path(photo)
            result = await self._service.predict(
                path, name=path.name, model=chosen.model, size=chosen.size
            )
            token = self._store.put(result)
            shown, values = await asyncio.gather(
                self._shown(result, token, path.stem, chosen.look),
                self._service.in_thread(values_under_pointer, result.depth),
            )
            ends = self._settings.ends_of(result.depth, chosen.look)
        except Refusal as refusal:
            return refusal_html(refusal), *nothing
        return *shown, values, token, *ends, shown[1][0]

    async def _recolour(
        self, photo: str | None, token: str | None, *settings: Any
    ) -> tuple:
        """Return what `_shown` does, in other colours."""
        result = self._store.get(token)
        if photo is None or token is None:
            return (gr.skip(),) * len(_NOTHING)
        try:
            if result is None:
                raise Refusal(
                    404, "this result is no longer kept; drop the photo again"
                )
            look = self._settings.read(*settings).look
            return await self._shown(result, token, Path(photo).stem, look)
        except Refusal as refusal:
            return refusal_html(refusal), *(gr.skip(),) * (len(_NOTHING) - 1)

    async def _shown(
        self, result: Prediction, token: str, stem: str, look: Look
    ) -> tuple[str, tuple[str, str], str, str]:
        """Return the message, the slider's pictures, the legend and the downloads."""
        folder = self._folder / secrets.token_urlsafe(16)
        pictures = await self._service.in_thread(write_pictures, result, look, folder)
        text = f"<p>{html.escape(summary(result))}</p>"
        words = legend(result.depth, look)
        return text, pictures, words, links(token, stem, look)
