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
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


@functools.cache
def cpu_features() -> str:
    """Return the instruction sets of this CPU, sorted, as Linux names them.

    Elsewhere what Python knows of the processor; "" where nobody says.
    """
    known = _cpuinfo()
    if "flags" in known:
        return " ".join(sorted(filter(_INSTRUCTIONS.match, known["flags"].split())))
    if "Features" in known:  # Arm
        return " ".join(sorted(known["Features"].split()))
    return platform.processor()


def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first processor, nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
