"""transformers on the same weights and pictures, for `accelerator`."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModelForDepthEstimation

from benchmarks.accelerator_work import Job, distance, groups, pictures, problem, rates

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def eager(job: Job) -> None:
    """transformers by default: scaled_dot_product_attention, eager."""
    for size, batch, precision in (
        ("large", 32, "bf16"),
        ("large", 1, "bf16"),
        ("large", 8, "bf16"),
        ("large", 8, "f32"),
        ("large", 8, "tf32"),
        ("small", 32, "bf16"),
        ("small", 1, "bf16"),
    ):
        _measure(job, "torch", size, batch, precision)
    _measure(job, "torch", "large", 32, "bf16", channels_last=True)


def compiled(job: Job) -> None:
    """The same through torch.compile."""
    for size, batch in (("large", 32), ("small", 32), ("large", 1), ("small", 1)):
        _measure(job, "torch-compile", size, batch, "bf16", compiled=True)


def train(job: Job) -> None:
    """Training steps under autocast: AdamW, an L1 loss, nothing recomputed."""
    for size, batch in (("large", 8), ("small", 32)):
        batch = job.batch(batch)
        try:
            model = _model(job, size, torch.float32).train()
            optimizer = torch.optim.AdamW(model.parameters(), 1e-6, fused=True)
            pixels = _pixels(batch, job.side())
            target = pixels.mean(1)

            def step(model=model, optimizer=optimizer, pixels=pixels, target=target):
                with torch.autocast(DEVICE, torch.bfloat16):
                    depth = model(pixels).predicted_depth
                loss = F.l1_loss(depth.float(), target)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                return loss

            times = groups(step, _wait, job.seconds(3.0))
            memory = torch.cuda.max_memory_allocated() / 2**30 if _cuda() else 0.0
            found = {"peak_gib": memory, **rates(times, batch)}
            job.emit("torch-train", f"{size} autocast", **found)
        except Exception as error:
            job.emit("torch-train", f"{size} autocast", problem=problem(error))
        model = optimizer = step = None
        if _cuda():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _measure(
    job: Job,
    step: str,
    size: str,
    batch: int,
    precision: str,
    *,
    channels_last: bool = False,
    compiled: bool = False,
) -> None:
    batch = job.batch(batch)
    how = " channels_last" if channels_last else " compile" if compiled else ""
    label = f"{size} {job.side()} {precision}{how}"
    if job.left() < 6:
        job.emit(step, label, batch=batch, problem="no time left")
        return
    try:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
        model = _model(job, size, dtype).eval()
        pixels = _pixels(batch, job.side()).to(dtype)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
            pixels = pixels.to(memory_format=torch.channels_last)
        run: Any = torch.compile(model) if compiled else model

        def call():
            return run(pixels).predicted_depth

        with torch.inference_mode():
            start = time.monotonic()
            depth = call().float().cpu().numpy()
            first = time.monotonic() - start
            times = groups(call, _wait, job.seconds(2.0))
        memory = torch.cuda.max_memory_allocated() / 2**30 if _cuda() else 0.0
        found = {"first_call": first, "peak_gib": memory, **rates(times, batch)}
        expected = job.wait_for(f"{size}-map.npy")
        found["from_cpu"] = distance(depth[:1], np.load(expected))
        job.emit(step, label, **found)
    except Exception as error:
        job.emit(step, label, batch=batch, problem=problem(error))
    if _cuda():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _model(job: Job, size: str, dtype: torch.dtype) -> Any:
    model = AutoModelForDepthEstimation.from_pretrained(
        job.wait_for(f"{size}-transformers"), dtype=dtype
    )
    return model.to(DEVICE)


def _pixels(batch: int, side: int) -> torch.Tensor:
    pixels = torch.from_numpy(pictures(batch, side)).permute(0, 3, 1, 2)
    return pixels.contiguous().to(DEVICE)


def _cuda() -> bool:
    return DEVICE == "cuda"


def _wait(_: Any) -> None:
    if _cuda():
        torch.cuda.synchronize()


STEPS: dict[str, Callable[[Job], None]] = {
    "torch": eager,
    "torch-compile": compiled,
    "torch-train": train,
}
