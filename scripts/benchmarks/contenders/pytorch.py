"""transformers on PyTorch, eager or through `torch.compile`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.machine import cores
from benchmarks.task import Absent, Task


def load(
    task: Task, dtype: str = "float32", compiled: bool = False
) -> Callable[[], np.ndarray]:
    """Return pixels to depth, in `dtype` throughout."""
    import torch

    model = load_model(task).to(getattr(torch, dtype))
    run: Any = torch.compile(model) if compiled else model
    pixels = to_nchw(np.load(task.pixels)).to(getattr(torch, dtype))

    def call() -> np.ndarray:
        with torch.inference_mode():
            return run(pixels).predicted_depth.float().numpy()

    return call


def load_model(task: Task) -> Any:
    """Return transformers' model with the weights of `task`, on all cores."""
    if not task.transformers.exists():
        raise Absent(f"transformers has no {task.model}")
    import torch
    import transformers

    torch.set_num_threads(cores())
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    auto = transformers.AutoModelForDepthEstimation
    return auto.from_pretrained(task.transformers).eval()


def to_nchw(pixels: np.ndarray) -> Any:
    """Return (b, h, w, 3) pixels as a tensor (b, 3, h, w)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 1)))
