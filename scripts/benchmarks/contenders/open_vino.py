"""OpenVINO on torch's export; int8 by its quantiser, NNCF."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contenders.onnx_export import exported
from benchmarks.task import Absent, Task

# Calibration pictures of int8: enough for the ranges of random weights.
_CALIBRATION = 4


def load(task: Task, precision: str = "f32") -> Callable[[], np.ndarray]:
    """Return pixels to depth; `precision` is "f32", "bf16" or "int8"."""
    from jax_depth.inference.engines.openvino import import_openvino

    openvino = import_openvino()
    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in capabilities:
        raise Absent("OpenVINO has no bfloat16 kernels for this CPU")
    pixels = np.ascontiguousarray(np.moveaxis(np.load(task.pixels), -1, 1))
    model = core.read_model(str(exported(task)))
    if precision == "int8":
        model = _quantized(model, pixels)
    # Whatever int8 leaves in floating point is computed in float32.
    hint = "bf16" if precision == "bf16" else "f32"
    options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", options)
    return lambda: np.array(compiled([pixels])[0])


def _quantized(model: Any, pixels: np.ndarray) -> Any:
    import nncf  # pyright: ignore[reportMissingImports]

    rng = np.random.default_rng(1)
    pictures = [pixels]
    for _ in range(_CALIBRATION - 1):
        pictures.append(rng.standard_normal(pixels.shape, np.float32))
    return nncf.quantize(
        model,
        nncf.Dataset(pictures),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=_CALIBRATION,
    )
