"""Scaled dot-product attention: in one pass, or in blocks of queries.

Both give the same numbers up to the order of sums. One pass holds the n^2 logits of
every head; blocks hold about two million, which stay near a CPU's cache.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Float, Float32
from jax_depth.models import symbolic
from jax_depth.models.precision import einsum

# "auto" takes one pass up to here; a square of 518 has 1370 tokens.
_ONE_PASS_TOKENS = 1024
# And up to here where memory is wide: 1 GiB of logits for 16 heads.
_ONE_PASS_TOKENS_ACCELERATOR = 4096
# Logits of one head in a block: 8 MiB, one block for a square of 518.
_BLOCK_LOGITS = 2**21


# A call of its own, so that the OpenVINO engine finds attention in the graph.
@functools.partial(jax.jit, static_argnames=("method", "dtype"))
def attend(
    q: Float[Array, "b heads n c"],
    k: Float[Array, "b heads m c"],
    v: Float[Array, "b heads m c"],
    method: str = "auto",
    dtype: Any = jnp.float32,
) -> Float32[Array, "b heads n c"]:
    """Return softmax(q k^T) v for queries that are already scaled.

    Above 1024 tokens the backward pass recomputes the weights instead of keeping
    n^2 of them a head and layer, as flash attention does (arXiv:2205.14135).

    Args:
        q, k, v: heads before tokens.
        method: "one_pass", "blocked", "flash" or "auto", see
            `EncoderConfig.attention`.
        dtype: what the two products compute in; the softmax is float32.

    Raises:
        ValueError: the method is unknown.
    """
    n = q.shape[2]
    if symbolic.is_symbolic(n) and method in ("auto", "blocked"):
        method = "one_pass"  # blocks have to be counted
    one_pass = functools.partial(_one_pass, dtype=dtype)
    by_query = functools.partial(_blocked, dtype=dtype)
    by_head = functools.partial(_blocked_by_head, dtype=dtype)
    if method == "one_pass" or (method == "auto" and n <= _ONE_PASS_TOKENS):
        return one_pass(q, k, v)
    if method == "flash":
        # Imported here: Pallas costs start-up, and only TPUs need it.
        from jax_depth.models.flash_attention import flash_attention

        elsewhere = functools.partial(attend, dtype=dtype)
        return flash_attention(q, k, v, dtype, elsewhere)
    if method not in ("auto", "blocked"):
        raise ValueError(
            f"attention {method!r} is unknown; use 'auto', 'one_pass', 'blocked' or "
            "'flash'"
        )
    wide = method == "auto" and n <= _ONE_PASS_TOKENS_ACCELERATOR

    # Checkpointed as a whole: the residuals of both branches would be kept.
    @jax.checkpoint
    def chosen(q, k, v):
        return jax.lax.platform_dependent(
            q, k, v, cpu=by_head, default=one_pass if wide else by_query
        )

    return chosen(q, k, v)


def _one_pass(q, k, v, dtype):
    weights = jax.nn.softmax(einsum("bhqc,bhkc->bhqk", q, k, dtype), axis=-1)
    return einsum("bhqk,bhkc->bhqc", weights, v, dtype)


def _blocked_by_head(q, k, v, dtype):
    """One head at a time: on a CPU nothing is gained by more at once.

    Of all pictures together: a loop over them would gather a batch that devices share.
    """
    heads_first = (x.transpose(1, 0, 2, 3)[:, :, None] for x in (q, k, v))
    blocked = functools.partial(_blocked, dtype=dtype, pictures=len(q))
    y = jax.lax.map(lambda head: blocked(*head), tuple(heads_first))
    return y[:, :, 0].transpose(1, 0, 2, 3)


def _blocked(q, k, v, dtype, pictures=1):
    """Blocks of queries, small enough for that many `pictures` of one head."""
    b, heads, n, c = q.shape
    count = -(-pictures * n * n // _BLOCK_LOGITS)
    rows = -(-n // count)
    # Queries beyond the last are zeros, whose results are dropped.
    q = jnp.pad(q, ((0, 0), (0, 0), (0, count * rows - n), (0, 0)))
    blocks = q.reshape(b, heads, count, rows, c).transpose(2, 0, 1, 3, 4)

    # Checkpointed, or the backward pass would keep the weights of every block.
    @jax.checkpoint
    def attend_block(q):
        logits = einsum("bhqc,bhkc->bhqk", q, k, dtype)
        top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
        weights = jnp.exp(logits - top)
        # Divided after the product: c values a row instead of n.
        y = einsum("bhqk,bhkc->bhqc", weights, v, dtype)
        return y / weights.sum(-1, keepdims=True)

    y = jax.lax.map(attend_block, blocks)
    y = y.transpose(1, 2, 0, 3, 4).reshape(b, heads, count * rows, c)
    return y[:, :, :n]
