"""Arrays and texts to files and back: pictures, maps of numbers, weights, points."""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy

if TYPE_CHECKING:
    from jax_depth.formats.image import read_image as read_image
    from jax_depth.formats.opening import allow_megapixels as allow_megapixels

__getattr__, __dir__, __all__ = lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__, {"allow_megapixels": "opening", "read_image": "image"}
)
