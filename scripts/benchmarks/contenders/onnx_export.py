"""Export transformers' model to ONNX with torch, in a process of its own.

    python -m benchmarks.contenders.onnx_export TASK.json

ONNX Runtime and OpenVINO read the file without torch in their memory.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders.pytorch import load_model, to_nchw
from benchmarks.task import Absent, Task


def exported(task: Task) -> Path:
    """Return the ONNX file of `task`, which the first call makes."""
    if not task.transformers.exists():
        raise Absent(f"transformers has no {task.model}")
    if not task.onnx.exists():
        command = [sys.executable, "-m", __spec__.name]
        command.append(json.dumps(dataclasses.asdict(task)))
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise Absent(f"torch could not export the model: {lines[-1]}")
    return task.onnx


def main(text: str) -> None:
    """Write the file of a task given as JSON."""
    import torch

    task = Task(**json.loads(text))
    model = load_model(task)

    class Depth(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model  # registered, or its weights are foreign constants

        def forward(self, pixels: Any) -> Any:
            return self.model(pixels).predicted_depth

    pixels = to_nchw(np.load(task.pixels))
    temporary = task.onnx.with_suffix(".part.onnx")
    with torch.no_grad():
        torch.onnx.export(
            Depth(),
            (pixels,),
            str(temporary),
            input_names=["pixels"],
            output_names=["depth"],
            dynamo=False,
        )
    temporary.rename(task.onnx)


if __name__ == "__main__":
    main(sys.argv[1])
