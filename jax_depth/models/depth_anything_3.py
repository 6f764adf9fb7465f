"""The any-view network of Depth Anything 3: encoder, head, and cameras out and in.

Mono and metric have one picture and no cameras; they are `DepthAnything` with another
head.

Source: Lin et al. 2025, arXiv:2511.10647; upstream ByteDance-Seed/Depth-Anything-3
`model/da3.py`.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.config import ModelConfig
from jax_depth.models import architectures
from jax_depth.models.camera_head import (
    CameraDecoder,
    CameraEncoder,
    decode_cameras,
    encode_cameras,
)
from jax_depth.models.depth_anything import activate
from jax_depth.models.dual_dpt import DualDPTHead
from jax_depth.models.output import Output
from jax_depth.models.reference_view import Reference

# Views that pass the head together, as upstream: its maps at the pictures' size would
# take gigabytes for a hundred views. On a CPU one, which takes a little less time
# than more at once and three quarters of the memory.
_HEAD_VIEWS, _HEAD_VIEWS_CPU = 8, 1


class AnyViewDepth(nn.Module):
    """Encoder, head and cameras; see `jax_depth.apply`, the usual way in.

    `axis`: of a mesh that shares out the views, see `sharded_views`.
    """

    config: ModelConfig
    axis: str | None = None

    @nn.compact
    def __call__(self, pixels: Float[Array, "b v h w 3"]) -> Float32[Array, "b v h w"]:
        """Return depth; see `forward`."""
        return self.run(pixels)[0].depth

    @nn.compact
    def run(
        self,
        pixels: Float[Array, "b v h w 3"],
        extrinsics: Float[Array, "b n 4 4"] | None = None,
        intrinsics: Float[Array, "b n 3 3"] | None = None,
        reference: Reference = "saddle_balanced",
    ) -> tuple[Output, dict[str, Array]]:
        """Return the output and all stages.

        Args:
            pixels: normalised RGB of the views of each scene, or a device's share.
            extrinsics, intrinsics: known cameras of all views, which condition the
                network, world to camera and in pixels of `pixels`; both or neither.
            reference: see `any_view.AnyViewTransformer`.

        Returns:
            The output, and a dict: the encoder's and the head's names, "raw", "tap_0",
            ... (b, v, ph, pw, 2 d), "camera_encoding" (b, v, 9); with known cameras
            "camera_tokens" (b, v, d).

        Raises:
            ValueError: extrinsics without intrinsics, or of another number of views.
        """
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        b, v, h, w, _ = pixels.shape
        tokens = self._camera_tokens(extrinsics, intrinsics, pixels.shape)
        if tokens is not None and self.axis is not None:
            own = jax.lax.axis_index(self.axis) * v
            tokens = jax.lax.dynamic_slice_in_dim(tokens, own, v, 1)
        encoder = architectures.encoder(config, dtype, "encoder", axis=self.axis)
        maps, named = encoder(pixels, tokens, reference)
        named |= {f"tap_{i}": x for i, x in enumerate(maps)}
        if tokens is not None:
            named["camera_tokens"] = tokens

        flat = tuple(x.reshape(b * v, *x.shape[2:]) for x in maps)
        raw, stages = self._head(flat, (h, w), dtype)
        stages |= {"raw": raw}
        named |= {name: x.reshape(b, v, *x.shape[1:]) for name, x in stages.items()}

        last = named[f"camera_{len(maps) - 1}"]
        encoding = CameraDecoder(name="camera_decoder")(last)
        named["camera_encoding"] = encoding
        extrinsics, intrinsics = decode_cameras(encoding, (h, w))
        output = Output(
            depth=activate(named["raw"], config),
            confidence=jnp.exp(named["confidence_raw"]) + 1,
            extrinsics=extrinsics,
            intrinsics=intrinsics,
            rays=named["rays_raw"][..., :6],
            ray_confidence=jnp.exp(named["rays_raw"][..., 6]) + 1,
            reference=named["reference"],
        )
        return output, named

    def _camera_tokens(self, extrinsics, intrinsics, shape):
        b, v, h, w, _ = shape
        if self.axis is not None:  # cameras are those of all views
            v = v * jax.lax.axis_size(self.axis)
        encoder = CameraEncoder(self.config.encoder.width, name="camera_encoder")
        given = [x for x in (extrinsics, intrinsics) if x is not None]
        if not given:
            return None
        found = [x.shape for x in given]
        if found != [(b, v, 4, 4), (b, v, 3, 3)]:
            raise ValueError(
                f"known cameras of {b} x {v} views are extrinsics ({b}, {v}, 4, 4), "
                f"world to camera, with intrinsics ({b}, {v}, 3, 3); got "
                f"{' and '.join(map(str, found))}"
            )
        return encoder(encode_cameras(extrinsics, intrinsics, (h, w)))

    def _head(self, maps, size: tuple[int, int], dtype: Any):
        """Run the head on all views, a few at a time where there are many."""
        assert self.config.head is not None
        count = maps[0].shape[0]
        head = DualDPTHead(self.config.head, dtype, name="head")
        one = not isinstance(count, int) or count == 1
        if one or self.is_initializing():
            return head(maps, size)
        params = self.variables["params"]["head"]
        alone: Any = DualDPTHead(self.config.head, dtype, parent=None)

        def run(maps):
            return alone.apply({"params": params}, maps, size)

        def run_one(maps):
            result = run(jax.tree.map(lambda x: x[None], maps))
            return jax.tree.map(lambda x: x[0], result)

        def by(views: int):
            if count <= views:
                return run
            return functools.partial(jax.lax.map, run_one, batch_size=views)

        return jax.lax.platform_dependent(
            maps, cpu=by(_HEAD_VIEWS_CPU), default=by(_HEAD_VIEWS)
        )
