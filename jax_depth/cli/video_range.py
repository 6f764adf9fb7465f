"""Which values the frames of a film span: `video --range`."""

from typing import Any

from jax_depth.cli.display_range import shown_range
from jax_depth.cli.usage import UsageError


def clip_range(text: str, config: Any) -> Any:
    """Return the `range` of `jax_depth.inference.video.VideoDepth`.

    Raises:
        UsageError: as `shown_range`.
    """
    if text in ("stream", "clip", "frame"):
        return text
    if text == "photo":
        raise UsageError("--range photo is of predict; use stream, clip or frame")
    return shown_range(text, config)
