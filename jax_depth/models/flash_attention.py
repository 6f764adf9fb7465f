"""Attention by Pallas' TPU kernel, which never writes the logits to memory.

jax.experimental.pallas.ops.tpu.flash_attention; Dao et al. 2022, arXiv:2205.14135.
Elsewhere than on a TPU the plain product is taken: a model described with
`attention="flash"` loads and gives the same numbers everywhere.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import flash_attention as pallas
from jax.sharding import PartitionSpec

from jax_depth._typing import Array, Float, Float32

# Tokens of queries and keys a step of the kernel takes. Steps of the kernel's default,
# 128, are 4 MFLOP at 64 channels: 20 ns of a v5e's rate, far below what a step costs.
BLOCK = 512
_LANES = 128


def flash_attention(
    q: Float[Array, "b heads n c"],
    k: Float[Array, "b heads n c"],
    v: Float[Array, "b heads n c"],
    dtype: Any,
    elsewhere: Callable[..., Array],
) -> Float32[Array, "b heads n c"]:
    """Return softmax(q k^T) v for queries that are already scaled.

    XLA cannot split a kernel that it does not see into. Under a mesh of several
    devices, trace inside `jax.sharding.use_abstract_mesh(mesh.abstract_mesh)`: each
    device then takes its own pictures, the batch split over all axes of the mesh.
    Without it jax refuses ("Mosaic kernels cannot be automatically partitioned").

    Args:
        q, k, v: heads before tokens; any number of tokens.
        dtype: what the two products compute in; softmax and sums are float32.
        elsewhere: (q, k, v) -> the same, for every platform but the TPU.
    """
    kernel = functools.partial(tpu_kernel, dtype=dtype)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size > 1:
        split = PartitionSpec(mesh.axis_names)
        # The kernel does not say over which axes its result varies.
        kernel = jax.shard_map(
            kernel, in_specs=(split,) * 3, out_specs=split, check_vma=False
        )
    return jax.lax.platform_dependent(q, k, v, tpu=kernel, default=elsewhere)


def tpu_kernel(
    q: Float[Array, "b heads n c"],
    k: Float[Array, "b heads n c"],
    v: Float[Array, "b heads n c"],
    dtype: Any = jnp.float32,
) -> Float32[Array, "b heads n c"]:
    """Call the kernel on tokens padded to whole blocks; see `flash_attention`."""
    b, _, n, _ = q.shape
    block = min(BLOCK, -(-n // _LANES) * _LANES)
    padded = -(-n // block) * block
    pad = ((0, 0), (0, 0), (0, padded - n), (0, 0))
    q, k, v = (jnp.pad(x.astype(dtype), pad) for x in (q, k, v))
    # Tokens see those of their own segment: padding is one apart.
    segment = jnp.broadcast_to(jnp.arange(padded)[None] >= n, (b, padded))
    segment = segment.astype(jnp.int32)
    sizes = dict.fromkeys(_SIZES, block)
    exact = jnp.dtype(dtype) == jnp.float32
    # The kernel mixes dtypes, and leaves the precision of its products to the default.
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.default_matmul_precision("highest" if exact else "default"),
    ):
        y = pallas.flash_attention(
            q,
            k,
            v,
            segment_ids=pallas.SegmentIds(segment, segment),
            block_sizes=pallas.BlockSizes(block_b=1, **sizes),
        )
    return y[:, :, :n].astype(jnp.float32)


_SIZES = (
    "block_q",
    "block_k_major",
    "block_k",
    "block_q_major_dkv",
    "block_k_major_dkv",
    "block_k_dkv",
    "block_q_dkv",
    "block_k_major_dq",
    "block_k_dq",
    "block_q_dq",
)
