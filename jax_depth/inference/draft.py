"""Read a picture at reduced size if the network's input is much smaller than it is."""

import functools
from typing import Any

from jax_depth.formats.image import read_image
from jax_depth.formats.reduced import Read, Reduced, read_reduced
from jax_depth.inference import bounded
from jax_depth.inference.preprocess import processing_size


def read_for(steps: Any, source: Any, *, name: str | None = None) -> Read:
    """Read a picture as `steps.prepare` takes it.

    Args:
        steps: an `Estimator`, or another that takes the three steps. Where its `draft`
            is true, a JPEG file more than twice as large as the network sees it is
            decoded at a half, a quarter or an eighth.
        source: as in `read_image`, or what this function returned.
        name: as in `read_image`.

    Raises:
        OSError, ValueError, TypeError: as `read_image`.
    """
    if isinstance(source, Reduced):
        return source
    if not getattr(steps, "draft", False):
        return read_image(source, name=name)
    return read_reduced(source, functools.partial(_needed, steps), name=name)


def _needed(steps: Any, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns to which `prepare` will shrink a picture."""
    patch = steps.config.encoder.patch_size
    if steps.resample in bounded.METHODS:
        return bounded.plan(height, width, steps.size, patch, steps.resample).first
    return processing_size(height, width, steps.size, patch, steps.resample)
