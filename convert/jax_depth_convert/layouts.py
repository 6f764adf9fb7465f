"""Every published layout: how it is recognised, and its table of keys.

To add a layout, add a row here; `models/architectures.py` says which row's `keys` a
model has.
"""

import dataclasses
from typing import Any

from jax_depth_convert import (
    depth_anything_3,
    prompt_depth_anything,
    video_depth_anything,
)
from jax_depth_convert.depth_anything import PREFIXES, TABLES, Layout
from jax_depth_convert.rules import Rules


@dataclasses.dataclass(frozen=True)
class PublishedLayout:
    """One layout of one kind of network.

    Attributes:
        keys: the kind of network, such as "depth_anything_3"; see
            `models/architectures.py`.
        layout: "original" or "transformers".
        rules: its key table.
        marks: substrings of keys; a file in this layout has at least one of them, an
            unrelated file none.
        extends: the kind of network whose marks also occur in files of this one.
        prefix: what published files put in front of every key.
        dead: prefixes of keys that belong to parts jax_depth does not implement; they
            are left out of the parameters, see `unused`.
    """

    keys: str
    layout: Layout
    rules: Rules
    marks: tuple[str, ...]
    extends: str | None = None
    prefix: str = ""
    dead: tuple[str, ...] = ()

    def marked(self, key: str) -> bool:
        """Whether a key is one that marks the layout."""
        # Below an encoder or a head the same parts of names come again.
        return any(
            mark in key if self.extends else key.startswith(mark) for mark in self.marks
        )


LAYOUTS = (
    *(
        PublishedLayout(
            "depth_anything" if head else "dinov2",
            layout,
            TABLES[layout, head],
            PREFIXES[layout, head],
        )
        for layout, head in TABLES
    ),
    PublishedLayout(
        "prompt_depth_anything",
        "original",
        prompt_depth_anything.ORIGINAL,
        (".resConfUnit_depth.",),
        extends="depth_anything",
    ),
    PublishedLayout(
        "prompt_depth_anything",
        "transformers",
        prompt_depth_anything.TRANSFORMERS,
        (".prompt_depth_layer.",),
        extends="depth_anything",
    ),
    PublishedLayout(
        "video_depth_anything",
        "original",
        video_depth_anything.ORIGINAL,
        ("head.motion_modules.",),
        extends="depth_anything",
    ),
    PublishedLayout(
        "depth_anything_3",
        "original",
        depth_anything_3.ANY_VIEW,
        ("cam_dec.", "cam_enc.", "head.scratch.refinenet1_aux."),
        prefix="model.",
        dead=("gs_head.",),
    ),
    PublishedLayout(
        "depth_anything_3_mono",
        "original",
        depth_anything_3.MONO,
        ("head.scratch.sky_output_conv2.",),
        prefix="model.",
    ),
    PublishedLayout(
        "depth_anything_3_nested",
        "original",
        depth_anything_3.NESTED,
        ("da3.", "da3_metric."),
        prefix="model.",
        dead=("da3.gs_head.",),
    ),
)


def layouts_of(state: Any) -> list[PublishedLayout]:
    """Return the layouts whose marks occur in the keys: one for an intact file."""
    found = [row for row in LAYOUTS if any(map(row.marked, state))]
    extended = {(row.extends, row.layout) for row in found}
    return [row for row in found if (row.keys, row.layout) not in extended]


def layout_of(keys: str | None, layout: str) -> PublishedLayout | None:
    """Return one layout of one kind of network, None where it is not published."""
    rows = (row for row in LAYOUTS if (row.keys, row.layout) == (keys, layout))
    return next(rows, None)
