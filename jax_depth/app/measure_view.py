"""Distances in the photo: two clicks, or the columns and rows of two pixels."""

import html
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from jax_depth.app.in_metres import described, in_metres
from jax_depth.app.looks import reduced, reduced_shape
from jax_depth.app.messages import Refusal, refusal_html
from jax_depth.app.service import Prediction, Service
from jax_depth.app.store import Store

_NAMES = ("A", "B")
# Seen on every photo: a bright line in a dark one.
_BRIGHT, _DARK = (255, 221, 0), (20, 20, 20)
_HINT = (
    "<p>One click gives the position of a point, a second one the distance between the "
    "two. Without a mouse, type columns and rows.</p>"
)


class MeasureView:
    """Components of the view and what they do."""

    def __init__(self, service: Service, store: Store, folder: Path):
        """Lay out the view, inside a `gr.Blocks` context.

        Args:
            service: whose threads draw.
            store: of the results.
            folder: under which pictures with their marks are written.

        Attributes:
            picture: what is clicked on; a new result is to be shown there.
        """
        self._service, self._store, self._folder = service, store, folder
        gr.HTML(_HINT)
        self.picture = gr.Image(
            label="Measure in the photo",
            type="filepath",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="measure",
            alt_text="The photo, to click on",
        )
        self._note = gr.HTML(elem_id="measure-note")
        with gr.Row():
            self._places = [
                gr.Number(
                    None,
                    label=f"{name}, {axis}",
                    precision=0,
                    minimum=0,
                    min_width=120,  # two and two on a phone
                    elem_id=f"{name.lower()}-{axis}",
                )
                for name in _NAMES
                for axis in ("column", "row")
            ]
        with gr.Row():
            self._go = gr.Button("Measure", elem_id="measure-go")
            self._clear = gr.Button("Clear", elem_id="measure-clear")

    def connect(
        self,
        photo: gr.Image,
        token: gr.State,
        stated: Sequence[Any],
        outdated: Sequence[Any],
    ) -> None:
        """Say whose result is measured.

        Args:
            photo, token: of the photo tab.
            stated: nearest, farthest and field of view.
            outdated: events after which points are of an older photo.
        """
        inputs = [photo, token, *stated, *self._places]
        outputs = [self._note, self.picture, *self._places]
        quiet: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        self.picture.select(self._clicked, inputs, outputs, **quiet)
        typed = [place.submit for place in self._places]
        gr.on([self._go.click, *typed], self._measured, inputs, outputs, **quiet)
        self._clear.click(self._cleared, token, outputs, **quiet)
        forgotten = [self._note, *self._places]
        gr.on(outdated, lambda: ("", *[None] * 4), None, forgotten, **quiet)

    async def _clicked(self, event: gr.SelectData, *values: Any) -> tuple:
        """Take a click for the next point."""
        photo, token, near, far, view, *places = values
        result = self._store.get(token)
        if result is not None:
            # The picture may be smaller than the photo.
            height, width = result.depth.shape
            small = reduced_shape((height, width))
            x = int((event.index[0] + 0.5) * width / small[1])
            y = int((event.index[1] + 0.5) * height / small[0])
            place = [min(x, width - 1), min(y, height - 1)]
            first, second = places[:2], places[2:]
            if None in first or None not in second:
                places = [*place, None, None]
            else:
                places = [*first, *place]
        return await self._measured(photo, token, near, far, view, *places)

    async def _measured(
        self,
        photo: str | None,
        token: str | None,
        near: float | None,
        far: float | None,
        view: float | None,
        *places: int | None,
    ) -> tuple:
        """Return the sentences, the photo with its marks and the places."""
        result = self._store.get(token)
        pairs = zip(_NAMES, (places[:2], places[2:]), strict=True)
        points: Any = {name: pair for name, pair in pairs if None not in pair}
        try:
            if photo is None or result is None:
                raise Refusal(404, "drop a photo first")
            if not points:
                raise Refusal(422, "click on the photo, or type a column and a row")
            said, marked = await self._service.in_thread(
                self._answer, result, Path(photo), near, far, view, points
            )
        except Refusal as refusal:
            return refusal_html(refusal), gr.skip(), *places
        return said, marked, *places

    async def _cleared(self, token: str | None) -> tuple:
        result = self._store.get(token)
        plain = result and await self._service.in_thread(self._drawn, result, {})
        return "", plain, *[None] * 4

    def _answer(self, result, photo: Path, near, far, view, points) -> tuple[str, str]:
        placed = in_metres(result, photo, near, far, view)
        lines = [*described(placed, points), placed.said]
        text = "".join(f"<p>{html.escape(line)}.</p>" for line in lines)
        return text, self._drawn(result, points)

    def _drawn(self, result: Prediction, points: dict[str, tuple[int, int]]) -> str:
        """Write the photo with its marks and return its path."""
        image = Image.fromarray(reduced(result.photo))
        scale = image.width / result.photo.shape[1]
        draw = ImageDraw.Draw(image)
        size = max(5, round(max(image.size) / 120))
        ends = [((x + 0.5) * scale, (y + 0.5) * scale) for x, y in points.values()]
        for width, color in ((size * 0.8, _DARK), (size * 0.4, _BRIGHT)):
            if len(ends) == 2:
                draw.line(ends, color, round(width))
        for name, (x, y) in zip(points, ends, strict=True):
            box = (x - size, y - size, x + size, y + size)
            draw.ellipse(box, _BRIGHT, _DARK, max(1, size // 3))
            draw.text(
                (x + 2 * size, y - 2 * size),
                name,
                _BRIGHT,
                font_size=4 * size,
                anchor="lm",
                stroke_width=max(1, size // 3),
                stroke_fill=_DARK,
            )
        folder = self._folder / secrets.token_urlsafe(16)
        folder.mkdir()
        path = folder / "measured.jpg"
        image.save(path, quality=92)
        return str(path)
