"""What a network returns."""

import dataclasses
from typing import no_type_check

import jax

from jax_depth._typing import Array, Float32, Int32


# The import hook leaves it alone: the same tree holds shapes and shardings.
@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Output:
    """Depth and what else a network says of its pictures; a pytree.

    `b` pictures, or `b` sets of `v` views or clips of `v` frames; h and w are those
    of the pixels that went in. What a model does not predict is None.

    Attributes:
        depth: by `ModelConfig.kind`: "inverse_depth", affine-invariant, larger is
            nearer; "metric_depth", metres; "depth", larger is farther, without unit.
        confidence: how sure the network is of each pixel, raw, larger is surer.
        sky: how much of a pixel is sky, raw; sky where >= 0.3.
        extrinsics: world to camera (OpenCV axes), as predicted.
        intrinsics: of each view in pixels of the input, counted from the corner of
            the picture: cx is w / 2 at its middle.
        rays: where each pixel's ray begins and points to, in the world.
        ray_confidence: as `confidence`, of the rays.
        reference: index of the view whose camera the network began with.
    """

    depth: Float32[Array, "b *v h w"]
    confidence: Float32[Array, "b *v h w"] | None = None
    sky: Float32[Array, "b *v h w"] | None = None
    extrinsics: Float32[Array, "b v 3 4"] | None = None
    intrinsics: Float32[Array, "b v 3 3"] | None = None
    rays: Float32[Array, "b v h2 w2 6"] | None = None
    ray_confidence: Float32[Array, "b v h2 w2"] | None = None
    reference: Int32[Array, " b"] | None = None
