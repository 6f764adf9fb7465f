"""Cameras in and out of Depth Anything 3: nine numbers a view, and their networks.

The numbers are the camera's place (3), its rotation as a quaternion x y z w (4), both
camera to world, and the vertical and horizontal field of view in radians (2). Axes are
OpenCV's: x right, y down, z forward.

Upstream: ByteDance-Seed/Depth-Anything-3 `model/cam_dec.py`, `model/cam_enc.py` and
`model/utils/transform.py`. All of it stays float32, as there.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.models.layers import Block, Dense, LayerNorm, gelu

# Upstream's, whatever the width: heads of 24 channels in the small model.
_HEADS = 16
_BLOCKS = 4


class CameraDecoder(nn.Module):
    """Camera token of the last tap -> the nine numbers."""

    @nn.compact
    def __call__(self, x: Float[Array, "b v d"]) -> Float32[Array, "b v 9"]:
        for i in (0, 1):
            x = jax.nn.relu(Dense(x.shape[-1], name=f"fc{i + 1}")(x))
        fov = jax.nn.relu(Dense(2, name="fov")(x))
        place, turn = Dense(3, name="translation")(x), Dense(4, name="quaternion")(x)
        return jnp.concatenate([place, turn, fov], -1)


class CameraEncoder(nn.Module):
    """Known cameras -> the tokens that take the class tokens' place."""

    width: int

    @nn.compact
    def __call__(self, encoding: Float[Array, "b v 9"]) -> Float32[Array, "b v d"]:
        x = gelu(Dense(self.width // 2, name="fc1")(encoding))
        x = LayerNorm(1e-5, name="token_norm")(Dense(self.width, name="fc2")(x))
        for i in range(_BLOCKS):
            block = Block(
                _HEADS, "gelu", 4 * self.width, epsilon=1e-5, name=f"block_{i}"
            )
            x = block(x)
        return LayerNorm(1e-5, name="trunk_norm")(x)


def decode_cameras(
    encoding: Float32[Array, "b v 9"], size: tuple[int, int]
) -> tuple[Float32[Array, "b v 3 4"], Float32[Array, "b v 3 3"]]:
    """Return extrinsics, world to camera, and intrinsics of pictures of this size.

    The principal point is the picture's centre, counted from the corner: w / 2. The
    quaternion need not have length 1. A field of view of 0 or beyond pi gives a focal
    length of half a picture times a million, as upstream.
    """
    rotation = rotation_of(encoding[..., 3:7]).swapaxes(-1, -2)  # world to camera
    place = -jnp.einsum(
        "bvij,bvj->bvi", rotation, encoding[..., :3], precision="highest"
    )
    extrinsics = jnp.concatenate([rotation, place[..., None]], -1)

    h, w = (jnp.asarray(n).astype(jnp.float32) / 2 for n in size)
    tangent = jnp.maximum(jnp.tan(encoding[..., 7:9] / 2), 1e-6)
    fy, fx = h / tangent[..., 0], w / tangent[..., 1]
    zero, one = jnp.zeros_like(fx), jnp.ones_like(fx)
    rows = [[fx, zero, w * one], [zero, fy, h * one], [zero, zero, one]]
    return extrinsics, jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def encode_cameras(
    extrinsics: Float[Array, "b v 4 4"],
    intrinsics: Float[Array, "b v 3 3"],
    size: tuple[int, int],
) -> Float32[Array, "b v 9"]:
    """Return the nine numbers of known cameras; their principal points are not used.

    Args:
        extrinsics: world to camera; a rotation and a translation.
        intrinsics: in pixels of a picture of `size`, (h, w).
    """
    extrinsics = extrinsics.astype(jnp.float32)
    rotation = extrinsics[..., :3, :3].swapaxes(-1, -2)  # camera to world
    place = -jnp.einsum(
        "bvij,bvj->bvi", rotation, extrinsics[..., :3, 3], precision="highest"
    )
    focal = jnp.stack([intrinsics[..., 1, 1], intrinsics[..., 0, 0]], -1)
    half = jnp.stack([jnp.asarray(n).astype(jnp.float32) / 2 for n in size])
    fov = 2 * jnp.arctan(half[None, None] / focal.astype(jnp.float32))
    return jnp.concatenate([place, quaternion_of(rotation), fov], -1)


def rotation_of(quaternion: Float32[Array, "*b 4"]) -> Float32[Array, "*b 3 3"]:
    """Return the rotation of a quaternion x y z w of any length but 0."""
    x, y, z, w = jnp.moveaxis(quaternion, -1, 0)
    s = 2 / jnp.square(quaternion).sum(-1)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def quaternion_of(rotation: Float32[Array, "*b 3 3"]) -> Float32[Array, "*b 4"]:
    """Return the quaternion x y z w of a rotation, w >= 0.

    Of the four ways to write it the one with the largest denominator is taken.
    """
    m = rotation
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    signs = (m00 + m11 + m22, m00 - m11 - m22, m11 - m00 - m22, m22 - m00 - m11)
    size = jnp.sqrt(jnp.maximum(jnp.stack([1 + sign for sign in signs], -1), 0))
    dx, sx = m[..., 2, 1] - m[..., 1, 2], m[..., 2, 1] + m[..., 1, 2]
    dy, sy = m[..., 0, 2] - m[..., 2, 0], m[..., 0, 2] + m[..., 2, 0]
    dz, sz = m[..., 1, 0] - m[..., 0, 1], m[..., 1, 0] + m[..., 0, 1]
    ww, xx, yy, zz = jnp.moveaxis(jnp.square(size), -1, 0)
    # As x y z w, each from a denominator of w, x, y or z.
    ways = [
        jnp.stack([dx, dy, dz, ww], -1),
        jnp.stack([xx, sz, sy, dx], -1),
        jnp.stack([sz, yy, sx, dy], -1),
        jnp.stack([sy, sx, zz, dz], -1),
    ]
    candidates = jnp.stack(ways, -2) / (2 * jnp.maximum(size, 0.1))[..., None]
    best = size.argmax(-1)[..., None, None]
    quaternion = jnp.take_along_axis(candidates, best, -2)[..., 0, :]
    return jnp.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
