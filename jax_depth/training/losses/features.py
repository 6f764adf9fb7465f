"""Alignment of a student's tokens with a frozen encoder's."""

import jax
import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Float, Float32
from jax_depth.training.losses.statistics import TINY


@computes
def feature_alignment(
    features: Float[Array, "b *n d"],
    reference: Float[Array, "b *n d"],
    margin: float = 0.85,
) -> Float32[Array, ""]:
    """Mean of 1 - cosine over the positions whose cosine is not above `margin`.

    A position that is similar enough adds exactly nothing, to the loss and to the
    gradient: within an object depth varies where semantics does not. The divisor
    is the number of all positions.

    Args:
        features: the student's final patch tokens.
        reference: those of the frozen encoder on the same pixels; gets no gradient.
        margin: cosine above which a position is left alone; 0.85 is published.

    Source: Depth Anything V1, section 3.3, equation 9.
    """
    x = features.astype(jnp.float32)
    y = jax.lax.stop_gradient(reference).astype(jnp.float32)
    # The floor lies inside the root, which has no gradient at 0.
    norms = [jnp.sqrt(jnp.square(v).sum(-1) + TINY**2) for v in (x, y)]
    cosine = (x * y).sum(-1) / (norms[0] * norms[1])
    kept = jax.lax.stop_gradient(cosine) <= margin
    return jnp.where(kept, 1.0 - cosine, 0.0).mean()
