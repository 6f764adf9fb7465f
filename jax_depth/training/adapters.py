"""Low-rank adaptation: kernels that learn by a product of two thin factors.

W + A B, A (in, rank) random, B (rank, out) zero at first, W frozen (LoRA, Hu et al.
2021, arXiv:2106.09685, section 4.1, with its alpha equal to the rank: under Adam alpha
only scales the learning rate, which `optimizer.lora_factor` does). The sum is formed
before the network runs, so rematerialisation, scan, bfloat16 and sharding are as
without, and what a run leaves is an ordinary model.

Own code, because none of the libraries fits plain parameters of Linen modules: qwix
0.1.8 writes to the module from inside a compact method, which Linen forbids, and mixes
float32 factors with bfloat16 operands; `flax.nnx.LoRA` and others want modules of NNX,
Equinox or Penzai.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth._typing import Array, PRNGKeyArray

_A, _B = "/lora_a", "/lora_b"


def is_adapter(name: str) -> bool:
    """Whether a "/"-joined name is that of a factor."""
    return name.endswith((_A, _B))


def factors(
    flat: Mapping[str, Array | np.ndarray], rank: int, key: PRNGKeyArray
) -> dict[str, Array]:
    """Return the factors of every matrix in the encoder's transformer blocks.

    Args:
        flat: parameters by "/"-joined name.
        rank: of the products.
        key: of A, uniform as in the published code (Kaiming, gain 1 / sqrt(3)).

    Raises:
        ValueError: there are no such matrices, or the rank is more than their sides.
    """
    chosen = {
        name.removesuffix("/kernel"): np.shape(leaf)
        for name, leaf in sorted(flat.items())
        if name.startswith("encoder/block_")
        and name.endswith("/kernel")
        and np.ndim(leaf) == 2
    }
    if not chosen:
        raise ValueError("model.lora_rank: the encoder has no transformer blocks")
    most = min(min(shape) for shape in chosen.values())
    if not 0 < rank <= most:
        raise ValueError(f"model.lora_rank={rank} must be between 1 and {most}")
    found: dict[str, Array] = {}
    for i, (name, (rows, columns)) in enumerate(chosen.items()):
        bound = 1 / math.sqrt(rows)
        draw = jax.random.uniform(
            jax.random.fold_in(key, i), (rows, rank), jnp.float32, -bound, bound
        )
        found |= {name + _A: draw, name + _B: jnp.zeros((rank, columns), jnp.float32)}
    return found


def merge(flat: Mapping[str, Array]) -> dict[str, Array]:
    """Return parameters with each product added to its kernel, the factors gone."""
    merged = {name: leaf for name, leaf in flat.items() if not is_adapter(name)}
    for name in flat:
        if not name.endswith(_A):
            continue
        base = name.removesuffix(_A)
        kernel = f"{base}/kernel"
        a, b = jnp.asarray(flat[name]), jnp.asarray(flat[base + _B])
        product = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
        merged[kernel] = merged[kernel] + product
    return merged
