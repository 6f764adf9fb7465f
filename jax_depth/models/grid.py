"""How many tokens an encoder makes of a picture."""

from typing import Any

from jax.core import max_dim, min_dim


def token_grid(encoder: Any, size: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the rows and columns of an encoder's patch tokens.

    Args:
        encoder: the encoder's part of a `ModelConfig`.
        size: (h, w) of the pixels, multiples of the patch size; may be symbolic.
    """
    patch, coarse = encoder.patch_size, getattr(encoder, "coarse_size", None)
    if coarse is None:
        return size[0] // patch, size[1] // patch
    # A picture is reduced by `coarse` over this; by nothing where it is small.
    short = max_dim(min_dim(*size), coarse)

    def count(side):  # rounded to the nearest, in whole numbers
        return max_dim((2 * side * coarse + patch * short) // (2 * patch * short), 1)

    return count(size[0]), count(size[1])
