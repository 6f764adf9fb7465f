"""The training step of `own_train` in transformers and torch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contenders.own_train import LEARNING_RATE, picture_bytes
from benchmarks.contenders.pytorch import load_model, to_nchw
from benchmarks.contenders.pytorch_hybrid import load_hybrid
from benchmarks.task import Task
from jax_depth import checkpoint
from jax_depth.config import HybridConfig, ModelConfig

_B2, _WEIGHT_DECAY, _CLIP, _DECAY = 0.99, 0.05, 1.0, 0.999


def load(
    task: Task, dtype: str = "float32", remat: bool = False
) -> Callable[[], np.ndarray]:
    """Return one step: forward, backward, clip, AdamW, moving average -> loss."""
    import torch

    model, config = _trainable(task, remat)
    # The mask token of DINOv2's own training gets no gradient.
    parameters = [p for n, p in model.named_parameters() if "mask_token" not in n]
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, _B2),
        weight_decay=_WEIGHT_DECAY,
        fused=True,
    )
    rgb = picture_bytes(np.load(task.pixels)).astype(np.float32) / 255
    center = np.asarray(config.mean, np.float32)
    spread = np.asarray(config.std, np.float32)
    pixels = to_nchw((rgb - center) / spread)
    target = torch.from_numpy(np.load(task.target))
    half = dtype == "bfloat16"

    def call() -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            raw = model(pixels)
        loss = (raw.float() - target).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        optimizer.step()
        with torch.no_grad():
            for mean, parameter in zip(average, parameters, strict=True):
                mean.lerp_(parameter, 1 - _DECAY)
        return loss.detach().numpy()[None]

    return call


def _trainable(task: Task, remat: bool) -> tuple[Any, ModelConfig]:
    """Return a module from pixels to the map before its final ReLU, and its config."""
    _, config = checkpoint.load(task.native)
    if isinstance(config.encoder, HybridConfig):
        return load_hybrid(task, remat).train(), config
    import torch

    model = load_model(task).train()
    if remat:
        _recompute_blocks(model)
    model.head.activation2 = torch.nn.Identity()

    class Raw(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            return self.model(pixels).predicted_depth

    return Raw(), config


def _recompute_blocks(model: Any) -> None:
    """Checkpoint every block of the encoder, as `remat` does."""
    from torch.utils.checkpoint import checkpoint

    for layer in model.backbone.encoder.layer:
        forward = layer.forward

        def recomputed(*args, _forward=forward, **kwargs):
            return checkpoint(_forward, *args, use_reentrant=False, **kwargs)

        layer.forward = recomputed
