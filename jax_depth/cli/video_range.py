"""Which values the frames of a film span: `video --range`."""

import argparse
from typing import Any

from jax_depth.cli.display_range import shown_range
from jax_depth.cli.usage import UsageError


def clip_range(args: argparse.Namespace, config: Any) -> Any:
    """Return the `range` of `jax_depth.video.video_depth.VideoDepth`.

    Raises:
        UsageError: as `shown_range`.
    """
    text, modes = args.range, ("stream", "clip", "frame")
    if text in modes:
        return text
    if text == "photo":
        raise UsageError("--range photo is for predict; use stream, clip or frame")
    return shown_range(text, config, args, ", ".join(modes))
