"""Losses against another network: its features, or its depth on mixed pictures."""

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.relative import (
    normalize,
    trimmed_difference,
    usable,
)
from jax_depth.training.losses.statistics import TINY, mean_over_images


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


def cutmix_consistency(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    region: Bool[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.0,
) -> Float32[Array, ""]:
    """Affine-invariant loss of a picture pasted together from two.

    Each part is normalised on its own, since the teacher saw the two pictures apart
    and its maps differ in scale and shift; the parts weigh as their areas.

    Args:
        pred: the student's map of the mixed picture.
        target: the teacher's map of the first picture inside `region`, of the second
            outside.
        region: True where the first picture is. True everywhere for a picture that
            is not mixed: then this is `affine_invariant`.
        mask: True where `target` is known.
        trim: see `affine_invariant`, for each part.

    Source: Depth Anything V1, section 3.2, equations 5 to 8.
    """
    total = jnp.zeros(mask.shape[0], jnp.float32)
    weight = jnp.zeros(mask.shape[0], jnp.float32)
    for part in (mask & region, mask & ~region):
        area = jnp.where(usable(target, part), part.sum((1, 2)), 0).astype(jnp.float32)
        maps = normalize(pred, part), normalize(target, part)
        total = total + area * trimmed_difference(*maps, part, trim)
        weight = weight + area
    return mean_over_images(total / jnp.maximum(weight, 1.0), weight > 0)
