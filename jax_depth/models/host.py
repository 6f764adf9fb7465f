"""What this machine's CPU can do."""

import functools
import platform
import re
from pathlib import Path

# Features of /proc/cpuinfo that code is generated for.
_INSTRUCTIONS = re.compile(r"sse|ssse|avx|amx|fma|bmi|f16c|gfni|vaes|vpclmul|movdir")


@functools.cache
def cpu_model() -> str:
    """Return what this CPU calls itself, as "AMD EPYC 9R14"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


@functools.cache
def cpu_features() -> str:
    """Return the instruction sets of this CPU, sorted, as Linux names them.

    Elsewhere what Python knows of the processor; "" where nobody says.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return " ".join(sorted(filter(_INSTRUCTIONS.match, value.split())))
        if name.strip() == "Features":  # Arm
            return " ".join(sorted(value.split()))
    return platform.processor()
