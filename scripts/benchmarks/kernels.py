"""Where the time of a call on a GPU goes: kernels from the profiler, by class."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The first match gives a kernel's class.
_CLASSES = (
    ("attention", r"flash|fmha|sdpa|attention"),
    ("convolution", r"conv(?!ert)|fprop|dgrad|wgrad|implicit"),
    ("product", r"gemm|cutlass|nvjet|cublas|xmma|wgmma|matmul|_dot"),
    ("transpose", r"transpose|nchw|nhwc"),
    ("pad", r"pad"),
    ("gather", r"gather"),
    ("reduction", r"reduc|softmax|input_"),
    ("copy", r"copy|memcpy|memset|concat|slice"),
)


def by_class(call: Callable[[], Any], folder: Path, images: int) -> dict[str, Any]:
    """Profile three calls; return milliseconds per picture by class, and top kernels.

    Args:
        call: sends work to the device.
        folder: for the profiler's files.
        images: pictures per call.
    """
    import jax

    calls = 3
    with jax.profiler.trace(str(folder)):
        for _ in range(calls):
            result = call()
        jax.block_until_ready(result)
    (file,) = folder.rglob("*.xplane.pb")
    kernels: dict[str, list[float]] = {}
    for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
        if not plane.name.startswith("/device:"):
            continue
        for line in plane.lines:
            if not line.name.startswith("Stream"):
                continue
            for event in line.events:
                entry = kernels.setdefault(event.name, [0, 0.0])
                entry[0] += 1
                entry[1] += event.duration_ns
    per_image = 1e-6 / calls / images
    classes: dict[str, float] = {}
    for name, (_, nanoseconds) in kernels.items():
        kind = _class(name)
        classes[kind] = classes.get(kind, 0.0) + nanoseconds * per_image
    top = sorted(kernels.items(), key=lambda item: -item[1][1])[:30]
    return {
        "kernels_a_call": sum(int(n) for n, _ in kernels.values()) // calls,
        "sum": sum(classes.values()),
        **dict(sorted(classes.items(), key=lambda item: -item[1])),
        "top": [
            [name[:120], int(n) // calls, round(t * per_image, 5)]
            for name, (n, t) in top
        ],
    }


def _class(name: str) -> str:
    for kind, pattern in _CLASSES:
        if re.search(pattern, name, re.IGNORECASE):
            return kind
    return "elementwise"
