"""Keeps a film's depth still where the picture stands still."""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageFilter

# Share of the past that is kept where nothing changes.
KEEP = 0.9
# Width of one block of the comparison in the network's values: large enough that a
# camera's noise averages out.
_BLOCK = 4
# Difference in brightness, of 255, at which a block certainly shows something new.
_CHANGE = 6.0


class Blend:
    """Blends each map with those before it, less where the picture changed more.

    Alignment (`jax_depth.video.stabilize`) undoes what scale and shift can, but camera
    noise also makes a network's depth boil. Here

        shown = keep * past + (1 - keep) * map,
        keep = share * exp(-(change of brightness / 6)^2)

    for each pixel, brightness being averaged over small blocks and the largest change
    among neighbours counting, since a network's depth reaches over the edges of things.
    It is causal, and for display only: saved values are left alone.
    """

    def __init__(self, share: float = KEEP):
        """Remember how much of the past is kept where nothing changes, 0 to below 1.

        Raises:
            ValueError: another share.
        """
        if not 0 <= share < 1:
            raise ValueError(
                f"the share {share:g} of the past must be at least 0 and below 1"
            )
        self._share = share
        self._past: np.ndarray | None = None
        self._light: np.ndarray | None = None

    def mix(
        self,
        values: Float32[np.ndarray, "h w"],
        picture: UInt8[np.ndarray, "h2 w2 3"],
        fresh: bool = False,
    ) -> Float32[np.ndarray, "h w"]:
        """Return what to show of the next map.

        Args:
            values: aligned to the maps before.
            picture: of the same moment, of any size.
            fresh: whether another scene begins, so that the past is forgotten.
        """
        light = _light(picture, values.shape)
        past, before = self._past, self._light
        if (
            not fresh
            and past is not None
            and before is not None
            and (past.shape, before.shape) == (values.shape, light.shape)
        ):
            change = (light - before) / np.float32(_CHANGE)
            keep = np.float32(self._share) * np.exp(-np.square(change))
            image = Image.fromarray(keep).filter(ImageFilter.MinFilter(3))
            image = image.resize(values.shape[::-1], Image.Resampling.BILINEAR)
            mixed = past - values
            mixed *= np.asarray(image)
            values = np.add(mixed, values, out=mixed)
        self._past, self._light = values, light
        return values


def _light(picture: np.ndarray, shape: tuple[int, ...]) -> Float32[np.ndarray, "h w"]:
    """Return brightness in blocks of about `_BLOCK` of the network's values."""
    height, width = picture.shape[:2]
    rows = max(1, round(_BLOCK * height / shape[0]))
    columns = max(1, round(_BLOCK * width / shape[1]))
    # Green is nearly brightness, and some 4x4 pixels of a block are enough.
    y, x = max(1, rows // 4), max(1, columns // 4)
    few = np.ascontiguousarray(picture[::y, ::x, 1])
    return np.asarray(
        Image.fromarray(few).reduce((columns // x, rows // y)), np.float32
    )
