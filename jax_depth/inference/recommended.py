"""What `jax-depth bench` found fastest on this machine, stored and used.

The result is stored in the file that also says how bfloat16 products are computed here,
see `formats.cache`, and is valid only for this CPU or accelerator and this JAX version.
"""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from jax_depth.config import Dtype, ModelConfig, to_json
from jax_depth.formats.cache import keep_measured, measured
from jax_depth.formats.optional import installed
from jax_depth.models import products

_NAME = "fastest"


@dataclasses.dataclass(frozen=True)
class Timing:
    """One way to compute a model.

    Attributes:
        engine, dtype, batch_size: as `jax_depth.load` takes them.
        seconds: of one picture, the median of the runs; None if it failed.
        runs: how many were timed.
        problem: why it failed.
    """

    engine: str
    dtype: str
    batch_size: int
    seconds: float | None = None
    runs: int = 0
    problem: str = ""


def remember(config: ModelConfig, found: Iterable[Timing]) -> Path:
    """Store what is recommended for a model, one way per dtype; return the file.

    Raises:
        OSError: it cannot be written.
    """
    rows = dict(measured(_machine()).get(_NAME, {}))
    rows[_key(config)] = {way.dtype: dataclasses.asdict(way) for way in found}
    return keep_measured(_machine(), _NAME, rows)


def recommended(config: ModelConfig, dtype: Dtype) -> Timing | None:
    """Return what was measured to be fastest here; None where nothing was."""
    try:
        return Timing(**measured(_machine())[_NAME][_key(config)][dtype])
    except (KeyError, TypeError):  # not measured, or by another version
        return None


def resolved(config: ModelConfig, *, only_xla: bool = False) -> tuple[Timing, str]:
    """Return what engine "auto" chooses for a model, and a sentence that says so.

    The recommendation for `config.dtype` if it was measured on this machine and can be
    followed, else XLA.

    Args:
        config: the model, with the dtype it computes in.
        only_xla: the caller asks for what XLA alone does.
    """
    plain = Timing("xla", config.dtype, 0)
    found = recommended(config, config.dtype)
    start = f"engine 'auto' takes {{}} for {config.name} in {config.dtype}"
    if found is None:
        why = "nothing was measured here, `jax-depth bench --model` does"
    elif found.engine == "openvino" and only_xla:
        why = "openvino was faster here, but takes no devices"
    elif found.engine == "openvino" and not installed("openvino"):
        why = "openvino was faster here, but is no longer installed"
    else:
        ms = 1e3 * (found.seconds or 0)
        why = f"`jax-depth bench` measured {ms:.3g} ms a picture here"
        return found, f"{start.format(found.engine)}: {why}"
    return plain, f"{start.format('xla')}: {why}"


def _key(config: ModelConfig) -> str:
    # By what the model is; two of one name may differ.
    plain: Any = dataclasses.replace(config, dtype="float32")
    digest = hashlib.sha256(to_json(plain).encode()).hexdigest()[:8]
    return f"{config.name} {digest}"


def _machine() -> str:
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return products.machine()
    return f"{device.platform} {device.device_kind}, jax {jax.__version__}"
