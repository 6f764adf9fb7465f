"""An estimator whose pictures wait in the server's queue."""

from collections.abc import Callable, Generator, Iterable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from jax_depth.app.batching import Batcher
from jax_depth.app.limits import Limits
from jax_depth.depth_map import DepthMap
from jax_depth.inference.clip import by_size, numbered, stepping
from jax_depth.inference.estimator import Estimator
from jax_depth.models.output import Output


class QueuedEstimator:
    """What `jax_depth.video.video_depth` needs of an estimator.

    The device belongs to the batcher's thread, and photos of other users are computed
    between two batches of a clip.

    Attributes:
        config: the model.
        batch_size: pictures of one call.
        size: short side in pixels at which it sees a picture.
    """

    def __init__(
        self, estimator: Estimator, size: int, batcher: Batcher, limits: Limits
    ):
        """Wrap an estimator.

        Args:
            estimator: that computes.
            size: short side in pixels at which it sees a picture.
            batcher: whose queue it is.
            limits: of the server.
        """
        self.config = estimator.config
        self.batch_size = batcher.batch_size
        self.size, self._estimator = size, estimator
        self._batcher, self._limits = batcher, limits

    def prepare(
        self, picture: Any, *, size: int | None = None, name: str | None = None
    ) -> Float32[np.ndarray, "1 h w 3"]:
        """Return an array (h, w, 3) as `run` takes it.

        Raises:
            ValueError: it is too elongated, or has more patches than the limit.
        """
        return self._estimator.prepare(
            picture,
            size=size or self.size,
            max_tokens=self._limits.tokens,
            name=name or "a frame",
        )

    def run(self, pixels: Float32[np.ndarray, "b h w 3"]) -> Output:
        """Run pixels and wait for the result.

        Raises:
            Refusal: the queue is full or the server stops.
        """
        waiting = [
            self._batcher.submit(
                self.config.name,
                self._estimator.run,
                pixels[i : i + 1],
                self._limits.seconds,
            )
            for i in range(len(pixels))
        ]
        outputs = [future.result().values for future in waiting]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *outputs)

    def clip(self, frames: Iterable[Any], **_: Any) -> Generator[DepthMap]:
        """Yield maps of a model of clips, each from its frame and those before.

        Frame by frame whatever is asked for: a window of 32 frames would keep others'
        photos waiting for as long as 32 of them take.
        """
        return by_size(self, numbered(frames), _streamed)

    def step_by_step(self) -> Callable[[Float32[np.ndarray, "1 h w 3"]], Output]:
        """Return a function of a stream's next frame, which waits for its result."""
        step, stream = stepping(self._estimator), object()

        def queued(pixels):
            seconds = self._limits.seconds
            return self._batcher.submit(stream, step, pixels, seconds).result().values

        return queued

    def finish(self, output: Output, shape: tuple[int, int]) -> DepthMap:
        """Return what `run` gave for one picture, at that picture's own size."""
        return self._estimator.finish(output, shape)

    def depth_map(
        self, values: Float32[np.ndarray, "h w"], shape: tuple[int, int]
    ) -> DepthMap:
        """Return values of one picture at its own size, as a clip's blending asks."""
        return self._estimator.depth_map(values, shape)


def _streamed(estimator: QueuedEstimator, pixels, shape) -> Generator[DepthMap]:
    step = estimator.step_by_step()
    for frame in pixels:
        yield estimator.finish(step(frame[None]), shape)
