"""Array types and the glossary of dimension names used in every signature.

    b       batch
    v t     views of one place; frames of one clip
    h w     height and width of a picture or a map, in pixels
    c       channels
    ph pw   height and width of the token grid, in patches
    n       tokens, special ones included
    d       token width
    k l     kernel height and width

Annotations are documentation in production and checks in the tests, where the
jaxtyping import hook verifies them at trace time.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, PRNGKeyArray, UInt8

# NumPy arrays are fine as arguments too, such as parameters read from a file.
Array = jax.Array | np.ndarray

# A plain nested dict of arrays; leaves are float arrays of any precision.
Params = Mapping[str, Any]

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Float32",
    "Int32",
    "PRNGKeyArray",
    "Params",
    "UInt8",
]
