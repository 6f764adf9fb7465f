"""ONNX Runtime on torch's export."""

from collections.abc import Callable

import numpy as np

from benchmarks.contenders.onnx_export import exported
from benchmarks.machine import cores
from benchmarks.task import Task


def load(task: Task) -> Callable[[], np.ndarray]:
    """Return pixels to depth in float32, all graph optimisations on."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(
        str(exported(task)), options, providers=["CPUExecutionProvider"]
    )
    pixels = np.ascontiguousarray(np.moveaxis(np.load(task.pixels), -1, 1))
    return lambda: np.asarray(session.run(["depth"], {"pixels": pixels})[0])
