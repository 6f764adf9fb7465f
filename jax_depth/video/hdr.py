"""Frames of high dynamic range as a player shows them on an ordinary screen."""

import itertools
import warnings
from types import ModuleType
from typing import Any

# Transfer characteristics of high dynamic range (ITU-T H.273, table 3).
HDR = {16: "PQ", 18: "HLG"}
# To the colours and the brightness of ordinary video; "perceptual" bends what is
# brighter than white or more colourful than BT.709 holds, instead of clipping it.
_SCALE = "out_transfer=bt709:out_primaries=bt709:intent=perceptual"


class ToneMapping:
    """Maps frames of one clip by FFmpeg's scaler, which knows HDR since FFmpeg 8."""

    def __init__(self, av: ModuleType, label: str):
        """Keep what is needed; nothing is built before a frame needs it.

        Args:
            av: PyAV.
            label: what messages call the clip.
        """
        self._av, self._label = av, label
        self._graph: Any = None
        self._made_for: Any = None

    def __call__(self, frame: Any) -> Any:
        """Return a frame in RGB of 8 bits, or the frame itself if it is not HDR."""
        name = HDR.get(int(frame.color_trc))
        if name is None:
            return frame
        try:
            graph = self._graph_for(frame)
            graph.push(frame)
            return graph.pull()
        except self._av.error.FFmpegError:
            warnings.warn(
                f"{self._label} is HDR ({name}) of a kind that the installed FFmpeg "
                "cannot tone-map: its frames are used as stored, so they look flat; "
                "convert it to SDR first",
                stacklevel=3,
            )
            return frame

    def _graph_for(self, frame: Any) -> Any:
        made_for = (frame.width, frame.height, frame.format.name)
        if self._made_for != made_for:
            # Built once for a clip: it holds a table of colours that takes seconds.
            graph = self._av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format.name,
                time_base=frame.time_base,
            )
            nodes = [source, graph.add("scale", _SCALE), graph.add("format", "rgb24")]
            nodes.append(graph.add("buffersink"))
            for one, other in itertools.pairwise(nodes):
                one.link_to(other)
            graph.configure()
            self._graph, self._made_for = graph, made_for
        return self._graph
