"""Scaled dot-product attention: in one pass, or in blocks of queries.

Both give the same numbers up to the order of sums. One pass holds the n^2 logits of
every head; blocks hold about two million, which stay near a CPU's cache.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jax_depth._typing import Array, Float, Float32
from jax_depth.models import symbolic
from jax_depth.models.forms import forms
from jax_depth.models.precision import einsum
from jax_depth.models.products import products

# "auto" takes one pass up to here; a square of 518 has 1370 tokens.
_ONE_PASS_TOKENS = 1024
# A CPU does so up to here, or with few logits, 4 MiB: more leave its cache.
_ONE_PASS_TOKENS_CPU = 256
_ONE_PASS_LOGITS = 2**20
# And up to here where memory is wide: 1 GiB of logits for 16 heads.
_ONE_PASS_TOKENS_ACCELERATOR = 4096
# Below, shapes are asked for before devices are known (`param_shapes`).
_CUDNN_TOKENS = 256
# Logits of one head in a block: 8 MiB, one block for a square of 518.
_BLOCK_LOGITS = 2**21
# Where a CPU multiplies bfloat16 itself, the products take so little time that moving
# the logits counts.
_BLOCK_LOGITS_BFLOAT16 = 2**20


# A call of its own, so that the OpenVINO engine finds attention in the graph.
@functools.partial(jax.jit, static_argnames=("method", "dtype", "keep_little"))
def attend(
    q: Float[Array, "b heads n c"],
    k: Float[Array, "b heads m c"],
    v: Float[Array, "b heads m c"],
    method: str = "auto",
    dtype: Any = jnp.float32,
    keep_little: bool = True,
) -> Float32[Array, "b heads n c"]:
    """Return softmax(q k^T) v for queries that are already scaled.

    Above 1024 tokens the backward pass recomputes the weights instead of keeping
    n^2 of them a head and layer, as flash attention does (arXiv:2205.14135).

    Args:
        q, k, v: heads before tokens.
        method: "one_pass", "blocked", "flash" or "auto", see
            `EncoderConfig.attention`.
        dtype: what the two products compute in; the softmax is float32.
        keep_little: recompute the weights in the backward pass; False where a caller
            recomputes all of this, which would compute them once more.

    Raises:
        ValueError: the method is unknown.
    """
    # Of keys: where views are shared out, a device has few of the queries.
    n = k.shape[2]
    if symbolic.is_symbolic(n) and method in ("auto", "blocked"):
        method = "one_pass"  # blocks have to be counted
    if method not in ("auto", "one_pass", "blocked", "flash"):
        raise ValueError(
            f"attention {method!r} is unknown; use 'auto', 'one_pass', 'blocked' or "
            "'flash'"
        )
    if method == "flash":
        return _flash(q, k, v, dtype, keep_little)
    if method == "auto" and _flash_serves(q, dtype):
        return _flash(q, k, v, dtype, keep_little)
    by_xla = _chosen(q.shape, n, method, dtype, keep_little)
    if method == "auto" and _cudnn_serves(q, dtype):
        return jax.lax.platform_dependent(q, k, v, cuda=_cudnn, default=by_xla)
    return by_xla(q, k, v)


def _chosen(
    shape: tuple[int, ...], n: int, method: str, dtype: Any, keep_little: bool
) -> Callable[..., Array]:
    """Return (q, k, v) -> the result, in operations of XLA.

    Args:
        shape: of q.
        n: keys.
        method, dtype, keep_little: see `attend`.
    """
    one_pass = functools.partial(_one_pass, dtype=dtype)
    by_query = functools.partial(_blocked, dtype=dtype)
    by_head = functools.partial(_blocked_by_head, dtype=dtype)
    if method == "one_pass":
        return one_pass
    if method == "auto" and n <= _ONE_PASS_TOKENS:
        b, heads, queries, _ = shape
        few = (
            n <= _ONE_PASS_TOKENS_CPU
            or symbolic.is_symbolic(b, queries)
            or b * heads * queries * n <= _ONE_PASS_LOGITS
        )
        return one_pass if few else functools.partial(_short, dtype)
    wide = method == "auto" and n <= _ONE_PASS_TOKENS_ACCELERATOR

    def by_platform(q, k, v):
        return jax.lax.platform_dependent(
            q, k, v, cpu=by_head, default=one_pass if wide else by_query
        )

    # As a whole: the residuals of both branches would be kept.
    return jax.checkpoint(by_platform) if keep_little else by_platform


def _flash(q, k, v, dtype, keep_little: bool):
    # Imported here: Pallas costs start-up, and only TPUs need it.
    from jax_depth.models.flash_attention import flash_attention

    # What other platforms do, which never takes this way again.
    elsewhere = _chosen(q.shape, q.shape[2], "auto", dtype, keep_little)
    return flash_attention(q, k, v, dtype, elsewhere)


def _flash_serves(q, dtype) -> bool:
    """Whether this process has TPUs that the kernel can be traced for.

    On several devices only a caller that says how they share a batch gets it, by
    `jax.sharding.use_abstract_mesh`: jax refuses to partition the kernel itself.
    """
    b, _, n, _ = q.shape
    if not forms().flash_attention or jnp.dtype(dtype) != jnp.bfloat16:
        return False
    if symbolic.is_symbolic(b, n) or n <= _ONE_PASS_TOKENS or not _has_tpu():
        return False
    mesh = jax.sharding.get_abstract_mesh()
    return jax.device_count() == 1 if mesh.empty else b % mesh.size == 0


@functools.cache
def _has_tpu() -> bool:
    return jax.local_devices()[0].platform == "tpu"


def _cudnn_serves(q, dtype) -> bool:
    """Whether this process has a GPU with cuDNN's kernel, and it takes such queries.

    jax asks for cuDNN while tracing, whatever the platform that is traced for. So it is
    not asked where there is no GPU, and programs for absent ones do without the kernel.
    """
    _, _, n, c = q.shape
    if not forms().cudnn_attention or jnp.dtype(dtype) != jnp.bfloat16:
        return False
    if symbolic.is_symbolic(*q.shape) or n < _CUDNN_TOKENS or c % 8 or c > 128:
        return False
    return _has_cudnn()


@functools.cache
def _has_cudnn() -> bool:
    device = jax.local_devices()[0]
    return (
        device.platform == "gpu"
        and "cuda" in device.client.platform_version.lower()
        and float(device.compute_capability) >= 8.0
    )


def _cudnn(q, k, v):
    # The kernel takes tokens before heads: these transpositions undo the caller's.
    q, k, v = (x.astype(jnp.bfloat16).transpose(0, 2, 1, 3) for x in (q, k, v))
    y = jax.nn.dot_product_attention(q, k, v, scale=1.0, implementation="cudnn")
    return y.transpose(0, 2, 1, 3).astype(jnp.float32)


def _one_pass(q, k, v, dtype):
    weights = jax.nn.softmax(einsum("bhqc,bhkc->bhqk", q, k, dtype), axis=-1)
    return einsum("bhqk,bhkc->bhqc", weights, v, dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _short(dtype, q, k, v):
    """One pass; on a CPU one head after the other."""
    return jax.lax.platform_dependent(
        q,
        k,
        v,
        cpu=functools.partial(_blocked_by_head, dtype=dtype),
        default=functools.partial(_one_pass, dtype=dtype),
    )


def _short_jvp(dtype, primals, tangents):
    # The weights are few, so they are kept rather than computed again; of one form:
    # the derivative of both platforms' branches would keep those of both.
    moving = [i for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)]

    def of_moving(*values):
        qkv = list(primals)
        for i, value in zip(moving, values, strict=True):
            qkv[i] = value
        return _one_pass(*qkv, dtype=dtype)

    return jax.jvp(
        of_moving, [primals[i] for i in moving], [tangents[i] for i in moving]
    )


_short.defjvp(_short_jvp, symbolic_zeros=True)


def _blocked_by_head(q, k, v, dtype):
    """One head at a time: on a CPU more at once gains nothing.

    Of all pictures together: a loop over them would gather a batch that devices share.
    """
    heads_first = (x.transpose(1, 0, 2, 3)[:, :, None] for x in (q, k, v))
    fast = jnp.dtype(dtype) == jnp.bfloat16 and products().product == "native"
    blocked = functools.partial(_blocked, dtype=dtype, pictures=len(q), fast=fast)
    y = jax.lax.map(lambda head: blocked(*head), tuple(heads_first))
    return y[:, :, 0].transpose(1, 0, 2, 3)


def _blocked(q, k, v, dtype, pictures=1, fast=False):
    """Blocks of queries, small enough for that many `pictures` of one head.

    Args:
        fast: the products cost little beside what lies between them.
    """
    b, heads, n, c = q.shape
    limit = _BLOCK_LOGITS_BFLOAT16 if fast else _BLOCK_LOGITS
    count = min(n, -(-pictures * n * k.shape[2] // limit))
    rows = -(-n // count)
    # Queries beyond the last are zeros, whose results are dropped.
    q = jnp.pad(q, ((0, 0), (0, 0), (0, count * rows - n), (0, 0)))
    blocks = q.reshape(b, heads, count, rows, c).transpose(2, 0, 1, 3, 4)
    if fast:  # the second product sums the weights too, which saves reading them twice
        v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], -1)

    # Checkpointed, or the backward pass would keep the weights of every block.
    @jax.checkpoint
    def attend_block(q):
        logits = einsum("bhqc,bhkc->bhqk", q, k, dtype)
        top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
        weights = jnp.exp(logits - top)
        # Divided after the product: c values a row instead of n.
        y = einsum("bhqk,bhkc->bhqc", weights, v, dtype)
        if fast:
            return y[..., :-1] / y[..., -1:]
        return y / weights.sum(-1, keepdims=True)

    y = jax.lax.map(attend_block, blocks)
    y = y.transpose(1, 2, 0, 3, 4).reshape(b, heads, count * rows, c)
    return y[:, :, :n]
