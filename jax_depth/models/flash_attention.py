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
from jax.sharding import AxisType, PartitionSpec

from jax_depth._typing import Array, Float, Float32

# Keys that one step of the kernel takes at most. All of them at once need no running
# maximum and no rescaling: 3584 are squares of 826 pixels. Beyond, blocks.
KEYS = 3584
BLOCK = 512
_LANES = 128
# A logit of this is no weight at all, and a number in bfloat16.
_NEVER = -1e9


def flash_attention(
    q: Float[Array, "b heads n c"],
    k: Float[Array, "b heads n c"],
    v: Float[Array, "b heads n c"],
    dtype: Any,
    elsewhere: Callable[..., Array],
) -> Float32[Array, "b heads n c"]:
    """Return softmax(q k^T) v for queries that are already scaled.

    XLA cannot split a kernel that it does not see into. Under a mesh of several
    devices, trace inside `jax.sharding.use_abstract_mesh(mesh.abstract_mesh)`, as
    `Estimator` and training do: each device then takes its own pictures, the batch
    split over all axes of the mesh. Without it jax refuses ("Mosaic kernels cannot be
    automatically partitioned").

    Args:
        q, k, v: heads before tokens; any number of tokens.
        dtype: what the two products compute in; softmax and sums are float32.
        elsewhere: (q, k, v) -> the same, for every platform but the TPU.
    """
    kernel = functools.partial(tpu_kernel, dtype=dtype)
    if axes := shared_axes():
        split = PartitionSpec(axes)
        # The kernel does not say over which axes its result varies.
        kernel = jax.shard_map(
            kernel, in_specs=(split,) * 3, out_specs=split, check_vma=False
        )
    return jax.lax.platform_dependent(q, k, v, tpu=kernel, default=elsewhere)


def shared_axes() -> tuple[str, ...]:
    """Return the axes of the mesh around a trace that a batch is split over.

    Within a `shard_map` of the caller's own there are none: it has split the batch.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1:
        return ()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind != AxisType.Manual)


def tpu_kernel(
    q: Float[Array, "b heads n c"],
    k: Float[Array, "b heads n c"],
    v: Float[Array, "b heads n c"],
    dtype: Any = jnp.float32,
) -> Float32[Array, "b heads n c"]:
    """Call the kernel on tokens padded to whole blocks; see `flash_attention`.

    Padding is kept from being looked at by a channel of its own, where there is room
    for one among the 128 lanes that a head takes anyway: queries have 1 in it, padded
    keys a logit that no weight comes from.
    """
    b, _, n, c = q.shape
    padded = -(-n // _LANES) * _LANES
    if padded > KEYS:
        padded = -(-n // BLOCK) * BLOCK
    keys = padded if padded <= KEYS else BLOCK
    queries = next(s for s in range(BLOCK, 0, -_LANES) if padded % s == 0)
    pad = ((0, 0), (0, 0), (0, padded - n), (0, 0))
    q, k, v = (jnp.pad(x.astype(dtype), pad) for x in (q, k, v))
    absent = jnp.arange(padded) >= n
    segments = None
    if padded > n and c % _LANES:
        widen = ((0, 0), (0, 0), (0, 0), (0, _LANES - c % _LANES))
        q, k, v = (jnp.pad(x, widen) for x in (q, k, v))
        q = q.at[..., c].set(1)
        k = k.at[..., c].set(jnp.where(absent, _NEVER, 0).astype(dtype))
    elif padded > n:
        # Tokens see those of their own segment: padding is one apart.
        segment = jnp.broadcast_to(absent[None], (b, padded)).astype(jnp.int32)
        segments = pallas.SegmentIds(segment, segment)
    sizes = {name: keys if "block_k" in name else queries for name in _SIZES}
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
            segment_ids=segments,
            block_sizes=pallas.BlockSizes(block_b=1, **sizes),
        )
    return y[:, :, :n, :c].astype(jnp.float32)


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
