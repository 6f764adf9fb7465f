"""Optimiser and learning-rate schedule: AdamW with clipping, from optax."""

from typing import Literal

import jax
import optax


def schedule(
    peak: float,
    steps: int,
    warmup: int = 0,
    cooldown: int | None = None,
    kind: Literal["constant", "cosine"] = "constant",
) -> optax.Schedule:
    """Return step -> learning rate: linear warm-up, then hold or fall.

    Args:
        peak: greatest learning rate.
        steps: length of the run.
        warmup: steps from 0 up to `peak`.
        cooldown: last steps, which fall to 0 along a half cosine. With "constant"
            the rate holds until then, so a run can be extended before its cooldown
            begins. Must be None with "cosine", which falls from the warm-up on.
        kind: "constant" or "cosine".
    """
    if kind == "cosine":
        if cooldown is not None:
            raise ValueError('a "cosine" schedule has no separate cooldown')
        cooldown = steps - warmup
    cooldown = cooldown or 0
    if warmup + cooldown > steps:
        raise ValueError(
            f"warm-up ({warmup}) and cooldown ({cooldown}) are longer than the run "
            f"({steps} steps)"
        )
    parts = [
        optax.linear_schedule(0.0, peak, max(warmup, 1)),
        optax.constant_schedule(peak),
        optax.cosine_decay_schedule(peak, max(cooldown, 1)),
    ]
    if not cooldown:
        return optax.join_schedules(parts[:2], [warmup])
    return optax.join_schedules(parts, [warmup, steps - cooldown])


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
    b2: float = 0.99,
) -> optax.GradientTransformation:
    """Return AdamW behind a global-norm clip; a non-finite step changes nothing.

    Biases, gains and norms (arrays of fewer than two axes) are not decayed. The
    state counts skipped steps, see `optax.apply_if_finite`.
    """
    chain = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(learning_rate, b2=b2, weight_decay=weight_decay, mask=_decayed),
    )
    return optax.apply_if_finite(chain, max_consecutive_errors=2**31 - 1)


def _decayed(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)
