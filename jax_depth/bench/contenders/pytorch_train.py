"""The training step of `own_train` in transformers and torch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jax_depth.bench.contenders.own_train import LEARNING_RATE, picture_bytes
from jax_depth.bench.contenders.pytorch import load_model, to_nchw
from jax_depth.bench.task import Task
from jax_depth.config import IMAGENET_MEAN, IMAGENET_STD

_B2, _WEIGHT_DECAY, _CLIP, _DECAY = 0.99, 0.05, 1.0, 0.999


def load(
    task: Task, dtype: str = "float32", remat: bool = False
) -> Callable[[], np.ndarray]:
    """Return one step: forward, backward, clip, AdamW, moving average -> loss."""
    import torch

    model = load_model(task).train()
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
    if remat:
        _recompute_blocks(model)
    # The map before its final ReLU, as this library's losses take it.
    model.head.activation2 = torch.nn.Identity()
    rgb = picture_bytes(np.load(task.pixels)).astype(np.float32) / 255
    center = np.asarray(IMAGENET_MEAN, np.float32)
    spread = np.asarray(IMAGENET_STD, np.float32)
    pixels = to_nchw((rgb - center) / spread)
    target = torch.from_numpy(np.load(task.target))
    half = dtype == "bfloat16"

    def call() -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            raw = model(pixels).predicted_depth
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


def _recompute_blocks(model: Any) -> None:
    """Checkpoint every block of the encoder, as `remat` does."""
    from torch.utils.checkpoint import checkpoint

    for layer in model.backbone.encoder.layer:
        forward = layer.forward

        def recomputed(*args, _forward=forward, **kwargs):
            return checkpoint(_forward, *args, use_reentrant=False, **kwargs)

        layer.forward = recomputed
