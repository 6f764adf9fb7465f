"""Affine-invariant loss: maps compared after median and spread are taken out."""

from functools import partial

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.normalization import (
    normalize,
    over_regions,
    trimmed_difference,
)
from jax_depth.training.losses.registry import register


@register("affine_invariant", "inverse_depth")
@computes
def affine_invariant(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.0,
    region: Bool[Array, "b h w"] | None = None,
) -> Float32[Array, ""]:
    """Mean absolute difference of the two normalised maps.

    Args:
        pred: prediction, any scale and shift; of the kind of `target`.
        target: disparity for the published recipes; sky is 0.
        mask: True where `target` is known.
        trim: share of each image's valid pixels, those of largest residual, that
            is left out; the mean is over the kept ones. 0.1 in Depth Anything V2.
        region: see `cutmix_consistency`; None for pictures that are not mixed.

    Source: Depth Anything V1, section 3.1; trimming as V2, section 5.2 (per image).
    """
    return over_regions(partial(_difference, trim=trim), pred, target, mask, region)


def _difference(pred, target, mask, trim: float) -> Float32[Array, " b"]:
    return trimmed_difference(
        normalize(pred, mask), normalize(target, mask), mask, trim
    )


@computes
def cutmix_consistency(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    region: Bool[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    trim: float = 0.0,
) -> Float32[Array, ""]:
    """Affine-invariant loss of a picture pasted together from two.

    Each part is normalised on its own, since the teacher saw the two pictures
    separately and its maps differ in scale and shift; the parts are weighted by area.

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
    return affine_invariant(pred, target, mask, trim, region)
