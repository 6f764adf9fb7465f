"""How bfloat16 products are computed on this machine's CPU: measured, once.

A CPU may or may not have units for bfloat16, and XLA may or may not use them well: a
product of rounded operands takes XLA:CPU from a third to twice the time of the same
product in float32, and no feature flag tells which. So both ways are timed when a
bfloat16 network is first traced on a machine (a tenth of a second, and a second to
compile), and what won is kept in `measured.json` in the cache. Later processes read it.

The environment variable JAX_DEPTH_BFLOAT16 goes first: "native", "widened", or
"default", which is what CPUs of this kind usually are best at, without measuring.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth.formats.cache import keep_measured, measured
from jax_depth.models.host import cpu_features, cpu_model

Way = Literal["native", "widened"]

VARIABLE = "JAX_DEPTH_BFLOAT16"
_NAME = "bfloat16"  # in the file
# A way that is not faster by this factor does not replace the default.
_TIE = 0.9
_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Products:
    """Which way operands in bfloat16 are multiplied on a CPU.

    Attributes:
        product: of matrices. "native" leaves it to XLA; "widened" rounds the operands
            and multiplies them in float32: the same terms, summed in another order.
        convolution: likewise.
    """

    product: Way
    convolution: Way


_current: Products | None = None
# What networks were last traced with; None if none has been that asks.
_traced: Products | None = None
_lock = threading.Lock()


def products() -> Products:
    """Return how products are traced now.

    Raises:
        ValueError: the environment variable says something unknown.
    """
    global _traced
    _traced = _settled() or _of_this_machine()
    return _traced


def _settled() -> Products | None:
    """Return the choice, None where this machine would have to be asked first."""
    if _current is not None:
        return _current
    if (given := _given()) is not None:
        return given
    if jax.default_backend() != "cpu":  # the CPU computes nothing that matters
        return usual()
    return None


def usual() -> Products:
    """Return what this CPU should be best at, by its features.

    XLA's bfloat16 products on x86 without AMX are emulated.
    """
    features = cpu_features().split()
    slow = "sse2" in features and "amx_bf16" not in features
    way: Way = "widened" if slow else "native"
    return Products(way, way)


@contextlib.contextmanager
def using(chosen: Products) -> Iterator[None]:
    """Trace with this choice in the body, on every thread. Measures nothing."""
    global _current, _traced
    before, outside = _current, _traced
    # Calls that are jitted inside the network keep their traces.
    if outside not in (None, chosen):
        jax.clear_caches()
    _current, _traced = chosen, None
    try:
        yield
    finally:
        inside, _current, _traced = _traced, before, outside
        if inside is not None and _settled() != chosen:
            jax.clear_caches()


def to_json(chosen: Products) -> dict[str, str]:
    """Return a choice as JSON values."""
    return dataclasses.asdict(chosen)


def from_json(value: Any) -> Products:
    """Return the choice in JSON values.

    Raises:
        ValueError: it is none.
    """
    names = [field.name for field in dataclasses.fields(Products)]
    known = get_args(Way)
    if not isinstance(value, dict) or any(value.get(n) not in known for n in names):
        raise ValueError(f"{value!r} is not a way to compute bfloat16 products")
    return Products(*(value[name] for name in names))


def machine() -> str:
    """Return what measurements on this CPU hold for."""
    features = hashlib.sha256(cpu_features().encode()).hexdigest()[:8]
    return f"{cpu_model()}, features {features}, jax {jax.__version__}"


def chosen_from(times: Mapping[str, Mapping[str, float]]) -> Products:
    """Return the choice that seconds by kind and way speak for."""
    ways = {}
    for kind, default in to_json(usual()).items():
        (other,) = set(get_args(Way)) - {default}
        faster = times[kind][other] < _TIE * times[kind][default]
        ways[kind] = other if faster else default
    return from_json(ways)


def _given() -> Products | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    if text == "default":
        return usual()
    if text not in get_args(Way):
        known = ", ".join([*get_args(Way), "default"])
        raise ValueError(f"{VARIABLE}={text} is unknown; use one of {known}")
    return from_json({"product": text, "convolution": text})


def _of_this_machine() -> Products:
    with _lock:
        return _kept_or_measured(machine())


@functools.cache
def _kept_or_measured(key: str) -> Products:
    try:
        return from_json(measured(key)[_NAME])
    except (KeyError, ValueError):  # not measured yet, or damaged
        pass
    times = _measured_apart()
    chosen = chosen_from(times)
    row = to_json(chosen) | {
        "milliseconds": {
            kind: {way: round(1e3 * s, 3) for way, s in of_kind.items()}
            for kind, of_kind in times.items()
        }
    }
    with contextlib.suppress(OSError):  # costs the next process a second
        keep_measured(key, _NAME, row)
    return chosen


def _measured_apart() -> Mapping[str, Mapping[str, float]]:
    """Measure in a thread of its own: the caller is in the middle of a trace."""
    found: list[Any] = []

    def work() -> None:
        try:
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                found.append(measure())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def measure() -> dict[str, dict[str, float]]:
    """Return kind -> way -> seconds of a product in bfloat16, the least of five.

    Half the pictures' tokens through a layer of ViT-S, and a 3 x 3 convolution of its
    head, with the rounding of what comes in as float32.
    """
    # Here, since it asks this module.
    from jax_depth.models.precision import bfloat16_convolution, bfloat16_product

    rng = np.random.default_rng(0)

    def random(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    cases: dict[str, tuple[Callable, Any, Any]] = {
        "product": (bfloat16_product, random(1, 685, 384), random(384, 1536)),
        "convolution": (
            bfloat16_convolution,
            random(1, 74, 74, 64),
            random(3, 3, 64, 64),
        ),
    }
    times: dict[str, dict[str, float]] = {}
    for kind, (function, x, kernel) in cases.items():
        kernel = kernel.astype(jnp.bfloat16)
        programs = {
            way: jax.jit(functools.partial(function, way=way))
            .lower(x, kernel)
            .compile()
            for way in get_args(Way)
        }
        runs: dict[str, list[float]] = {way: [] for way in programs}
        for _ in range(_ROUNDS + 1):  # alternated: others may use the machine
            for way, program in programs.items():
                start = time.perf_counter()
                program(x, kernel).block_until_ready()
                runs[way].append(time.perf_counter() - start)
        times[kind] = {way: min(seconds[1:]) for way, seconds in runs.items()}
    return times
