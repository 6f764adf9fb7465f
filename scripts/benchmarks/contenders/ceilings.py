"""The machine's limits, as reached by the best of the installed libraries."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.machine import cores
from benchmarks.task import Task

# Large enough to keep the units busy, small enough for a laptop; the second is a linear
# layer of ViT-S at 518 pixels, which fits the caches better.
_PRODUCTS = ((2048, 2048, 2048), (1370, 384, 1536))
_REPEATS = 12
_COPY_BYTES = 1 << 29


def load(task: Task, limit: str, library: str = "jax") -> Callable[[], np.ndarray]:
    """Return a measurement of "f32" or "bf16" FLOP/s, or "bandwidth" bytes/s."""
    if limit == "bandwidth":
        return lambda: np.array([_bandwidth()])
    make = {"jax": _jax_product, "torch": _torch_product}[library]
    runs = [(2 * m * k * n, make(m, k, n, limit)) for m, k, n in _PRODUCTS]
    return lambda: np.array([max(flops / _fastest(run) for flops, run in runs)])


def _jax_product(m: int, k: int, n: int, limit: str) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    dtype = {"f32": jnp.float32, "bf16": jnp.bfloat16}[limit]
    x, y = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
    product = jax.jit(lambda x, y: jnp.matmul(x, y, preferred_element_type=jnp.float32))
    return lambda: product(x, y).block_until_ready()


def _torch_product(m: int, k: int, n: int, limit: str) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(cores())
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[limit]
    x, y = torch.ones((m, k), dtype=dtype), torch.ones((k, n), dtype=dtype)
    return lambda: x @ y


def _bandwidth() -> float:
    """Return bytes/s read and written while one thread per core copies arrays."""
    count = cores()
    size = _COPY_BYTES // count
    pairs = [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for _ in range(count)]

    def copy() -> None:
        threads = [
            threading.Thread(target=np.copyto, args=(target, source))
            for source, target in pairs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2 * size * count / _fastest(copy)


def _fastest(run: Callable[[], Any]) -> float:
    run()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
