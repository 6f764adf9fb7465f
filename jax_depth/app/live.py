"""Frames of a camera, one at a time: their depth in steady colours, and how fast."""

import base64
import binascii
import collections
import dataclasses
import io
import time

from PIL import Image

from jax_depth.app.looks import reduced
from jax_depth.app.messages import Refusal
from jax_depth.app.service import Prediction
from jax_depth.outputs.color import colorize
from jax_depth.video.blend import Blend
from jax_depth.video.stabilize import DEFAULT, Stream

_PREFIX = "data:image/jpeg;base64,"
# Frames over which the speed is averaged, and the pause in seconds after which the
# camera was off.
_RECENT, _PAUSE = 30, 3.0
_QUALITY = 85


def frame_bytes(url: str | None) -> bytes:
    """Return the JPEG file that the page's camera sent as an address of data.

    Raises:
        Refusal: 415, anything else, such as an address to be fetched.
    """
    if url is None or not url.startswith(_PREFIX):
        raise Refusal(415, "a frame of the camera must be a JPEG")
    try:
        return base64.b64decode(url.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise Refusal(415, "a frame of the camera is damaged") from None


class Live:
    """What one camera showed so far, so that its colours stay steady.

    Scale, shift and range of the colours follow those of a film (`VideoDepth`), and so
    does the blending of parts that stand still.
    """

    def __init__(self, model: str, metric: bool):
        """Start with nothing seen.

        Args:
            model: whose maps are to come; another one's need another `Live`.
            metric: whether its values are metres, which are never rescaled.
        """
        self.model = model
        settings = dataclasses.replace(DEFAULT, align=not metric)
        self._stream, self._blend = Stream(settings), Blend()
        self._times: collections.deque[float] = collections.deque(maxlen=_RECENT)

    def picture(self, result: Prediction, colours: str) -> str:
        """Return the coloured depth of the next frame as an address of data.

        Raises:
            Refusal: 422, there is no depth to colour.
        """
        depth, frame = result.depth, result.photo
        try:
            placed = self._stream.place(depth.values, frame)
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        values = placed.aligned(depth.values)
        steady = self._blend.mix(values, frame, placed.cut)
        low, high = placed.low, placed.high
        if low is not None and high is not None and not low < high:
            high = low + 1.0  # a black frame, before the camera has opened
        shown = dataclasses.replace(depth, values=reduced(steady))
        file = io.BytesIO()
        picture = Image.fromarray(colorize(shown, colours, low, high))
        picture.save(file, "JPEG", quality=_QUALITY)
        return _PREFIX + base64.b64encode(file.getvalue()).decode()

    def count(self, now: float | None = None) -> float:
        """Count a frame that was shown; return how many are shown a second lately.

        Args:
            now: in seconds; by default the time that it is.
        """
        now = time.monotonic() if now is None else now
        if self._times and now - self._times[-1] > _PAUSE:
            self._times.clear()
        self._times.append(now)
        span = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / span if span else 0.0
