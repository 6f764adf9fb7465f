"""Multi-scale gradient matching: edges where the target has them."""

from typing import Literal

import jax.numpy as jnp

from jax_depth._forked import computes
from jax_depth._typing import Array, Bool, Float, Float32
from jax_depth.training.losses.normalization import normalize, usable
from jax_depth.training.losses.registry import register
from jax_depth.training.losses.squares import fitted
from jax_depth.training.losses.statistics import (
    count,
    masked,
    mean_over_images,
)


@computes
def gradient_matching(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    scales: int = 4,
) -> Float32[Array, ""]:
    """Sum over scales of the mean absolute gradient of the difference.

    Args:
        pred, target: maps already brought to a common scale, see `normalize`.
        mask: True where `target` is known; a difference counts where both its
            pixels are valid.
        scales: number of scales; scale k takes every 2**k-th row and column,
            unfiltered. Divided by the number of valid pixels of the scale.

    Source: MiDaS, equation 11, where the sum is over four scales.
    """
    difference = masked(pred, mask) - masked(target, mask)
    total = jnp.zeros(mask.shape[0], jnp.float32)
    for k in range(scales):
        d, m = difference[:, :: 2**k, :: 2**k], mask[:, :: 2**k, :: 2**k]
        along_x = jnp.abs(d[:, :, 1:] - d[:, :, :-1])
        along_y = jnp.abs(d[:, 1:] - d[:, :-1])
        along_x = jnp.where(m[:, :, 1:] & m[:, :, :-1], along_x, 0.0).sum((1, 2))
        along_y = jnp.where(m[:, 1:] & m[:, :-1], along_y, 0.0).sum((1, 2))
        total = total + (along_x + along_y) / count(m)
    return mean_over_images(total, mask.any((1, 2)))


@register("gradient", "inverse_depth")
@computes
def aligned_gradient_matching(
    pred: Float[Array, "b h w"],
    target: Float[Array, "b h w"],
    mask: Bool[Array, "b h w"],
    region: Bool[Array, "b h w"] | None = None,
    align: Literal["normalize", "least_squares"] = "normalize",
    scales: int = 4,
) -> Float32[Array, ""]:
    """Gradient matching of maps of any scale and shift.

    Args:
        pred, target, mask: as in `affine_invariant`.
        region: of CutMix; inside each of its parts, and never across the seam.
        align: "normalize" takes median and spread out of both maps; "least_squares"
            brings `pred` to the target's scale and shift, as MiDaS does where the
            main term is `least_squares`.
        scales: see `gradient_matching`.

    Source: MiDaS, equation 11.
    """
    if align not in ("normalize", "least_squares"):
        raise ValueError(f"align={align!r} is neither normalize nor least_squares")
    total = jnp.zeros((), jnp.float32)
    for part in (mask,) if region is None else (mask & region, mask & ~region):
        judged = part & usable(target, part)[:, None, None]
        # Under `part`, as the main term has them: medians are a tenth of a step.
        if align == "least_squares":
            maps = fitted(pred, target, part), target
        else:
            maps = normalize(pred, part), normalize(target, part)
        total = total + gradient_matching(*maps, judged, scales)
    return total
