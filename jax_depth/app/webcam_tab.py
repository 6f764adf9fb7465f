"""The tab for a camera: its depth while it films."""

import html
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from jax_depth.app.live import Live, frame_bytes
from jax_depth.app.looks import legend_of
from jax_depth.app.messages import Refusal, refusal_html
from jax_depth.app.models import find_model
from jax_depth.app.service import Service
from jax_depth.app.settings import SettingsPanel
from jax_depth.outputs.colormap import COLORMAPS
from jax_depth.outputs.legend import Words

_HINT = (
    "<p>Allow the camera, then start it with the button in its picture. Frames that "
    "arrive while one is being computed are dropped, so the depth never lags behind."
    "</p>"
)
# Seconds between two frames that the page sends, and the pixels it asks of the camera:
# more than a network sees by default, few enough to travel.
_EVERY = 1 / 15
_SIZE = {"width": {"ideal": 640}, "height": {"ideal": 480}}


class WebcamTab:
    """Components of the tab and what they do."""

    def __init__(self, service: Service):
        """Lay out the tab, inside a `gr.Blocks` context.

        Args:
            service: answers.
        """
        self._service = service
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                camera = gr.Image(
                    label="Camera",
                    sources=["webcam"],
                    streaming=True,
                    webcam_options=gr.WebcamOptions(constraints={"video": _SIZE}),
                    buttons=[],
                    height=300,
                    elem_id="camera",
                )
                # The address of data as it was sent, to be decoded within the limits.
                camera.preprocess = lambda payload: payload and payload.url  # pyright: ignore
                self._settings = SettingsPanel(
                    service.models, service.limits.size, prefix="live-", ranges=False
                )
            with gr.Column(scale=2, min_width=320):
                message = gr.HTML(_HINT, elem_id="live-message")
                shown = gr.Image(
                    label="Depth",
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="live",
                    height=480,
                )
                # An address of data as it is, not a file in the server's folder for
                # every frame.
                shown.postprocess = lambda value: _address(value)
                key = gr.HTML(_key(COLORMAPS[0]), elem_id="live-legend")
        colours = self._settings.colours
        colours.change(_key, colours, key, api_visibility="private")
        seen = gr.State(None)
        # Of the frames that came since the last one began gradio keeps the newest.
        camera.stream(
            self._frame,
            [camera, seen, *self._settings.inputs],
            [message, shown, seen],
            show_progress="hidden",
            stream_every=_EVERY,
            # The other places are for photos.
            concurrency_limit=max(1, service.limits.waiting // 4),
            api_visibility="private",
        )

    async def _frame(self, url: str | None, seen: Live | None, *settings: Any) -> tuple:
        """Return the message, the picture of the depth and what was seen so far."""
        try:
            chosen = self._settings.read(*settings)
            result = await self._service.predict(
                frame_bytes(url),
                name="a frame of the camera",
                model=chosen.model,
                size=chosen.size,
            )
            name = find_model(self._service.models, chosen.model).config.name
            if seen is None or seen.model != name:
                seen = Live(name, metric=result.depth.unit is not None)
            picture = await self._service.in_thread(
                seen.picture, result, chosen.look.colours
            )
        except Refusal as refusal:
            return refusal_html(refusal), gr.skip(), seen
        height, width = result.depth.shape
        text = f"{width} x {height} pixels by {name}"
        if rate := seen.count():
            text += f", {rate:.1f} frames a second"
        return f"<p>{html.escape(text)}</p>", picture, seen


def _address(value: Any) -> ImageData | None:
    return ImageData(url=value) if value else None


def _key(colours: str) -> str:
    """Return the legend of a camera: its numbers change from frame to frame."""
    return legend_of(Words("near", "far", ""), colours)
