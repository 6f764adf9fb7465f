"""Depth of moving pictures: reading, steadying and writing clips.

from jax_depth.video import VideoDepth

with VideoDepth(estimator, "clip.mp4") as video:
    for item in video:
        item.depth, item.frame.pixels         # DepthMap; uint8 (h, w, 3)
"""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.video.clips import FilmWriter as FilmWriter
    from jax_depth.video.clips import FrameFolderWriter as FrameFolderWriter
    from jax_depth.video.clips import NpzWriter as NpzWriter
    from jax_depth.video.frames import Frame as Frame
    from jax_depth.video.frames import Selection as Selection
    from jax_depth.video.stabilize import Settings as Settings
    from jax_depth.video.video_depth import FrameDepth as FrameDepth
    from jax_depth.video.video_depth import VideoDepth as VideoDepth
    from jax_depth.video.writing import VideoWriter as VideoWriter

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "FilmWriter": "clips",
        "FrameFolderWriter": "clips",
        "NpzWriter": "clips",
        "Frame": "frames",
        "Selection": "frames",
        "Settings": "stabilize",
        "FrameDepth": "video_depth",
        "VideoDepth": "video_depth",
        "VideoWriter": "writing",
    },
)
