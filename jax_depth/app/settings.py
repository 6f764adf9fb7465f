"""What a user chooses: model, size, colours, range."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import gradio as gr

from jax_depth.app.looks import Look
from jax_depth.app.messages import Refusal
from jax_depth.catalog import MODELS
from jax_depth.depth_map import DepthMap
from jax_depth.inference.estimator import Estimator
from jax_depth.outputs.colormap import COLORMAPS

# Multiples of 14, the patch of the published models.
_SIZES = (266, 392, 518, 770, 1036)
_OWN = "Each photo its own"
_FIXED = "Fixed"


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Settings as they stand."""

    model: str
    size: int | None
    look: Look


def _licence(name: str) -> str:
    """Return who may use a model's weights."""
    entry = MODELS.get(name)
    if entry is None:
        return "Weights from a folder: their licence is not known here"
    use = "; not for commercial use" if entry.non_commercial else ""
    return f"Licence of the weights: {entry.licence}{use}"


class SettingsPanel:
    """The components, inside a `gr.Blocks` context."""

    def __init__(
        self,
        models: Mapping[str, Estimator],
        largest: int,
        prefix: str = "",
        ranges: bool = True,
    ):
        """Lay them out.

        Args:
            models: by name, the first is chosen.
            largest: size to offer.
            prefix: of the elements' names in the page.
            ranges: whether a range of colours can be chosen.
        """
        with gr.Column(elem_id=f"{prefix}settings"):
            self._lay_out(list(models), largest, prefix, ranges)

    def _lay_out(
        self, names: list[str], largest: int, prefix: str, ranges: bool
    ) -> None:
        self.model = gr.Dropdown(
            names,
            value=names[0],
            label="Model",
            info=_licence(names[0]),
            elem_id=f"{prefix}model",
        )
        self.model.change(
            lambda name: gr.Dropdown(info=_licence(name)),
            self.model,
            self.model,
            show_progress="hidden",
            api_visibility="private",
        )
        sizes = [size for size in _SIZES if size <= largest]
        self.size = gr.Dropdown(
            [("the model's own", 0), *((f"{size} pixels", size) for size in sizes)],
            value=0,
            label="Short side that the network sees",
            elem_id=f"{prefix}size",
        )
        self.colours = gr.Dropdown(
            list(COLORMAPS),
            value=COLORMAPS[0],
            label="Colours",
            elem_id=f"{prefix}colours",
        )
        self.range = gr.Radio(
            [_OWN, _FIXED],
            visible=ranges,
            value=_OWN,
            label="Range of colours",
            elem_id=f"{prefix}range",
        )
        with gr.Row(visible=False) as ends:
            self.low = gr.Number(
                value=0.0, label="From", min_width=80, elem_id=f"{prefix}low"
            )
            self.high = gr.Number(
                value=10.0, label="To", min_width=80, elem_id=f"{prefix}high"
            )
        self.range.change(
            lambda mode: gr.Row(visible=mode == _FIXED),
            self.range,
            ends,
            api_visibility="private",
        )

    @property
    def inputs(self) -> list[Any]:
        """Components whose values `read` takes, in order."""
        return [
            self.model,
            self.size,
            self.colours,
            self.range,
            self.low,
            self.high,
        ]

    @staticmethod
    def ends_of(depth: DepthMap, look: Look) -> tuple[Any, Any]:
        """Return what the ends of a fixed range become with a new map.

        They start from what is shown, unless the user has fixed them.
        """
        if look.low is not None:
            return gr.skip(), gr.skip()
        low, high = float(depth.values.min()), float(depth.values.max())
        # To four digits, outwards: nothing of this photo is cut off.
        step = 10.0 ** (math.floor(math.log10(high - low)) - 3) if high > low else 1.0
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        return float(f"{low:.10g}"), float(f"{high:.10g}")

    @property
    def look_changes(self) -> list[Any]:
        """Events after which a map is coloured again."""
        ends = [self.low.submit, self.low.blur, self.high.submit, self.high.blur]
        return [self.colours.change, self.range.change, *ends]

    def read(
        self,
        model: str,
        size: int,
        colours: str,
        mode: str,
        low: float | None,
        high: float | None,
    ) -> Chosen:
        """Return the settings from the components' values.

        Raises:
            Refusal: 422, a fixed range without both ends.
        """
        look = Look(colours)
        if mode == _FIXED:
            if low is None or high is None:
                raise Refusal(422, "a fixed range needs both ends")
            look = Look(colours, float(low), float(high))
        return Chosen(model, size or None, look)
