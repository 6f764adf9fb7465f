"""Rotary position embedding in two dimensions, as Depth Anything 3 uses it.

The first half of a head's channels is rotated by the row of a token, the second by
its column, each with c / 4 frequencies base^(-4k / c). Position 0 does not rotate.

Upstream: ByteDance-Seed/Depth-Anything-3 `model/dinov2/layers/rope.py`, and
`_prepare_rope` of `vision_transformer.py` for the positions.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_depth._typing import Array, Float, Float32


class Rope(NamedTuple):
    """Cosines and sines of every token's angles, rows before columns."""

    cos: Float32[Array, "n 2 q"]
    sin: Float32[Array, "n 2 q"]


def local_rope(grid: tuple[int, int], head_width: int, base: float) -> Rope:
    """Return the table of one view: patches count from (1, 1), the first token is 0.

    Args:
        grid: (rows, columns) of patches; may be symbolic.
        head_width: channels of a head, a multiple of 4.
        base: of the frequencies, 100 in Depth Anything 3.
    """
    rows, columns = (jnp.arange(n, dtype=jnp.float32) + 1 for n in grid)
    frequencies = _frequencies(head_width, base)
    shape = (*grid, len(frequencies))
    angles = jnp.stack(
        [
            jnp.broadcast_to((rows[:, None] * frequencies[None])[:, None], shape),
            jnp.broadcast_to((columns[:, None] * frequencies[None])[None], shape),
        ],
        axis=-2,
    )
    return _table(angles.reshape(-1, 2, len(frequencies)))


def global_rope(patches: int, views: int, head_width: int, base: float) -> Rope:
    """Return the table of all views in one sequence: every patch stands at (1, 1).

    So attention across views sees which tokens are cameras, but no positions.
    """
    angles = np.broadcast_to(_frequencies(head_width, base), (2, head_width // 4))
    one = _table(jnp.broadcast_to(angles[None], (patches, *angles.shape)))
    return Rope(*(jnp.tile(x, (views, 1, 1)) for x in one))


def rotate(x: Float[Array, "b heads n c"], rope: Rope) -> Float32[Array, "b heads n c"]:
    """Rotate queries or keys by their tokens' angles."""
    *rest, c = x.shape
    halves = x.astype(jnp.float32).reshape(*rest, 2, 2, c // 4)
    a, b = halves[..., 0, :], halves[..., 1, :]
    cos, sin = rope.cos[None, None], rope.sin[None, None]
    turned = jnp.stack([a * cos - b * sin, b * cos + a * sin], axis=-2)
    return turned.reshape(x.shape)


def _frequencies(head_width: int, base: float) -> Float32[np.ndarray, " q"]:
    exponents = np.arange(0, head_width // 2, 2, dtype=np.float32) / np.float32(
        head_width // 2
    )
    return (1 / np.float32(base) ** exponents).astype(np.float32)


def _table(angles: Float32[Array, "m 2 q"]) -> Rope:
    """Return the table with the special token, which has no place, in front."""
    angles = jnp.pad(angles, ((1, 0), (0, 0), (0, 0)))
    return Rope(jnp.cos(angles), jnp.sin(angles))
