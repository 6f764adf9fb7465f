"""Describe the machine a benchmark ran on, without names of hosts or users."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = (
    "jax-depth",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "torch",
    "transformers",
    "onnxruntime",
    "openvino",
    "nncf",
    "keras",
    "keras-hub",
)
# The extensions that decide how fast products are.
_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
    "sve",
)


def describe() -> dict[str, Any]:
    """Return the processor, its cores, its instruction sets and the memory.

    Cores are those that this process may use; memory is in GiB, or None if unknown.
    """
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "features": [
            name for name in _FEATURES if name in _cpuinfo("flags", "Features").split()
        ],
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


class Meter:
    """How busy other programs have kept the processors since it was made (Linux)."""

    def __init__(self):
        """Begin."""
        self._start = self._read()

    def others(self) -> float | None:
        """Return their share of all processor time; None where unknown.

        This process and the children it has waited for count as ours.
        """
        stop = self._read()
        if stop is None or self._start is None:
            return None
        busy, everything, own = (b - a for a, b in zip(self._start, stop, strict=True))
        return max(0.0, busy - own) / everything if everything else None

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        """Return processor seconds: busy, total, and ours."""
        try:
            line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        except OSError:
            return None
        tick = os.sysconf("SC_CLK_TCK")
        # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
        values = [int(word) / tick for word in line.split()[1:9]]
        own = os.times()
        return sum(values) - sum(values[3:5]), sum(values), sum(own[:4])


def versions() -> dict[str, str]:
    """Return the installed packages of `PACKAGES` and their versions."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpuinfo(*keys: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def _memory_gib() -> float | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    return round(pages * size / 2**30, 1)
