"""Metres from a photo and a coarse depth map: `Estimator.prompted`.

Upstream: DepthAnything/PromptDA `promptda/promptda.py` (`predict`), which leaves the
map at the network's size; bringing it to the photo's is ours.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from jax_depth._forked import check_process
from jax_depth.config import ModelConfig
from jax_depth.depth_map import DepthMap
from jax_depth.formats.image import check_source
from jax_depth.inference.prompt import check_upright, read_prompt
from jax_depth.inference.stream import collected, stream
from jax_depth.models import architectures
from jax_depth.models.output import Output


def prompted(self: Any, image: Any, lidar: Any, unit: str = "m") -> Any:
    """Predict metres for photos from a coarse depth map of each: Prompt Depth Anything.

        depth = estimator.prompted("photo.jpg", "lidar.png")

    Args:
        image: a picture as when called with one, or a list of those.
        lidar: its coarse depth of any size, of the same field of view: a 16-bit PNG in
            millimetres, an .npy, .npz, .pfm, .exr or .tiff file, an array (h, w), or a
            `DepthMap` in metres; for a list of pictures a list of those. NaN, infinite
            and non-positive values are unknown and are filled from the nearest known
            ones first; a warning says how many.
        unit: of the numbers in `lidar`: "m", "cm", "mm", "km" or "in"; see
            `inference.prompt.read_prompt` for files that state their own.

    Returns:
        A `DepthMap` of kind "metric_depth" at the picture's own size, or a list of
        them in order. Its values stay within the range of the prompt; a constant prompt
        gives a constant map.

    Raises:
        ValueError: the model takes no prompt, there are not as many prompts as
            pictures, or a prompt is empty, of another shape, or in another unit.
        FileNotFoundError, OSError: a file cannot be read; as when called with a list,
            the exception's attribute `maps` holds the maps finished so far.
    """
    check_process()
    check_takes_prompts(self)
    several = isinstance(image, list | tuple)
    images = image if several else [image]
    lidars = lidar if several else [lidar]
    if several and not (isinstance(lidar, list | tuple) and len(lidar) == len(image)):
        given = len(lidar) if isinstance(lidar, list | tuple) else "one map"
        raise ValueError(
            f"{len(image)} pictures need a list of {len(image)} prompts, got {given}"
        )
    for source in (*images, *lidars):
        check_source(source)
    pairs = list(zip(images, lidars, strict=True))
    results = stream_prompted(
        self, pairs, read=lambda pair: pair[0], prompt=lambda pair: pair[1], unit=unit
    )
    with contextlib.closing(results):
        maps = collected(results, len(pairs))
    return maps if several else maps[0]


def stream_prompted(
    estimator: Any,
    items: Iterable[Any],
    *,
    read: Callable[[Any], Any],
    prompt: Callable[[Any], Any],
    unit: str = "m",
) -> Generator[tuple[Any, DepthMap | Exception]]:
    """Yield every item with its map, or with the exception that it met, in order.

    Args:
        estimator: of a model that takes prompts.
        items: as of `Estimator.stream`.
        read: item -> picture; called in threads, as `prompt`.
        prompt: item -> its coarse depth, as `prompted` takes it.
        unit: of the prompts.
    """

    def beside(item: Any, picture: np.ndarray) -> np.ndarray:
        lidar = prompt(item)
        metres = read_prompt(lidar, unit)
        name = os.fspath(lidar) if isinstance(lidar, str | os.PathLike) else None
        check_upright(metres, picture.shape[:2], name)
        return metres[None]

    return stream(items, _Steps(estimator), read=read, beside=beside)


def check_takes_prompts(estimator: Any) -> None:
    """Raise ValueError for an estimator that `prompted` cannot use."""
    if not takes_prompts(estimator.config):
        raise ValueError(
            f"model {estimator.config.name!r} takes no prompt; use a Prompt Depth "
            "Anything model, such as prompt-depth-anything-small, or leave the depth "
            "map out"
        )
    if estimator.engine != "xla":
        raise ValueError(
            f"engine {estimator.engine!r} cannot use prompts; use engine 'xla'"
        )


def refuse_without_prompt(config: ModelConfig) -> None:
    """Raise ValueError if a model cannot predict from a photo alone."""
    if takes_prompts(config):
        raise ValueError(
            f"model {config.name!r} needs a coarse depth map beside each photo: use "
            "estimator.prompted(image, lidar), `jax-depth predict --prompt` on the "
            "command line, or a model that takes photos alone"
        )


def takes_prompts(config: ModelConfig) -> bool:
    """Whether a model sees a coarse depth map beside each photo."""
    return "prompt" in architectures.network_row(config).takes


@dataclasses.dataclass(frozen=True)
class _Steps:
    """The three steps of a photo with its prompt; see `stream.Steps`."""

    estimator: Any

    @property
    def batch_size(self) -> int:
        return self.estimator.batch_size

    def prepare(self, picture: Any, *, name: str | None = None) -> Any:
        return self.estimator.prepare(picture, name=name)

    def run(
        self,
        pixels: Float32[np.ndarray, "b h w 3"],
        prompt: Float32[np.ndarray, "b h2 w2"],
    ) -> tuple[Output, np.ndarray, np.ndarray]:
        output = self.estimator.run(pixels, prompt)
        return output, prompt.min((1, 2)), prompt.max((1, 2))

    def finish(self, result: Any, shape: tuple[int, int]) -> DepthMap:
        output, low, high = result
        depth = self.estimator.finish(jax.tree.map(np.asarray, output), shape)
        # A resize that overshoots leaves the range that the network promises.
        values = np.clip(depth.values, low, high)
        return dataclasses.replace(depth, values=values)
