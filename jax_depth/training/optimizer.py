"""Optimiser and learning-rate schedule: AdamW with clipping, from optax."""

import collections
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jax_depth.config import ModelConfig
from jax_depth.training.adapters import is_adapter
from jax_depth.training.recipe import OptimizerSettings

# More than any run: optax would accept a non-finite update after so many in a row.
_NEVER = 2**31 - 1


def schedule(
    peak: float,
    steps: int,
    warmup: int = 0,
    cooldown: int | None = None,
    kind: Literal["constant", "linear", "polynomial", "cosine"] = "constant",
) -> optax.Schedule:
    """Return step -> learning rate: linear warm-up, then hold or fall.

    Args:
        peak: greatest learning rate.
        steps: length of the run.
        warmup: steps from 0 up to `peak`.
        cooldown: last steps, which fall to 0 along a half cosine. With "constant"
            the rate holds until then, so a run can be extended before its cooldown
            begins. Must be None (or 0) with the others, which fall from the warm-up
            on.
        kind: what follows the warm-up: "constant"; "linear", "cosine" or
            "polynomial" falls to 0 at the end. The last is (1 - t / T) ** 0.9 and, as
            in Depth-Anything-V2 `metric_depth/train.py`, which sets the rate after
            the step, one step late.

    Raises:
        ValueError: warm-up and what follows do not fit into the run.
    """
    if kind != "constant":
        if cooldown:
            raise ValueError(f'a "{kind}" schedule has no separate cooldown')
        cooldown = steps - warmup
        if warmup >= steps > 0:
            raise ValueError(
                f"a warm-up of {warmup} steps is not shorter than the run ({steps} "
                "steps): the rate would never fall; lower optimizer.warmup or raise "
                "run.steps"
            )
    cooldown = cooldown or 0
    if warmup + cooldown > steps:
        raise ValueError(
            f"warm-up ({warmup}) and cooldown ({cooldown}) are longer than the run "
            f"({steps} steps)"
        )
    parts = [
        optax.linear_schedule(0.0, peak, max(warmup, 1)),
        optax.constant_schedule(peak),
        _fall(kind, peak, max(cooldown, 1)),
    ]
    if not cooldown:
        return optax.join_schedules(parts[:2], [warmup])
    if kind != "constant":
        return optax.join_schedules([parts[0], parts[2]], [warmup])
    return optax.join_schedules(parts, [warmup, steps - cooldown])


def _fall(kind: str, peak: float, steps: int) -> optax.Schedule:
    if kind == "linear":
        return optax.linear_schedule(peak, 0.0, steps)
    if kind == "polynomial":
        return optax.polynomial_schedule(peak, 0.0, 0.9, steps, transition_begin=1)
    return optax.cosine_decay_schedule(peak, steps)


def from_settings(
    settings: OptimizerSettings, steps: int, config: ModelConfig
) -> optax.GradientTransformation:
    """Return the optimiser of a recipe, for parameters with "/"-joined names.

    Args:
        settings: of the recipe.
        steps: length of the run.
        config: of the model; its depth counts for `layer_decay`.

    A step whose gradient is not finite changes nothing. With `accumulate` the parts
    with finite gradients are averaged (`optax.MultiSteps`).
    """
    rate = schedule(
        settings.learning_rate,
        steps,
        settings.warmup,
        settings.cooldown or None,
        settings.schedule,
    )
    depth = config.encoder.depth

    def labels(params):
        return {
            name: f"{_factor(name, settings, depth):.6g}"
            + (" later" if settings.prompt_first and not _prompts(name) else "")
            for name in params
        }

    def scaled(label: str) -> optax.GradientTransformation:
        factor, _, later = label.partition(" ")
        if not later:
            return optax.scale(float(factor))
        first = settings.prompt_first

        def begun(step: Any) -> Any:
            return jnp.where(step >= first, jnp.float32(factor), jnp.float32(0))

        return optax.scale_by_schedule(begun)

    def everything(params):
        return jax.tree.map(lambda _: True, params)

    def transform(names: Iterable[str]) -> optax.GradientTransformation:
        factors = {labels({name: None})[name] for name in names}
        return optax.chain(
            optax.clip_by_global_norm(settings.clip_norm),
            optax.adamw(
                rate,
                settings.b1,
                settings.b2,
                settings.eps,
                weight_decay=settings.weight_decay,
                mask=everything if settings.decay_all else _decayed,
            ),
            # The rate of a group scales its decay too, as in torch.
            optax.partition({f: scaled(f) for f in factors}, labels),
        )

    def init(params):
        return safely(transform(params), settings.accumulate).init(params)

    def update(updates, state, params=None):
        assert params is not None
        chain = safely(transform(params), settings.accumulate)
        return chain.update(updates, state, params)

    return optax.GradientTransformation(init, update)


def safely(chain: Any, accumulate: int = 1) -> Any:
    """Return an optimiser that leaves out steps whose gradient is not finite.

    Args:
        chain: the optimiser.
        accumulate: parts of a step whose gradients are averaged first.
    """
    if accumulate == 1:
        return optax.apply_if_finite(chain, max_consecutive_errors=_NEVER)
    return optax.MultiSteps(
        chain, accumulate, should_skip_update_fn=optax.skip_not_finite
    )


def rates(
    settings: OptimizerSettings, steps: int, config: ModelConfig, names: Iterable[str]
) -> Callable[[int], dict[str, float]]:
    """Return step -> learning rate of each group of parameters, in that step.

    Args:
        settings: of the recipe.
        steps: length of the run.
        config: of the model.
        names: of the parameters that learn.
    """
    rate = schedule(
        settings.learning_rate,
        steps,
        settings.warmup,
        settings.cooldown or None,
        settings.schedule,
    )
    depth, factors = config.encoder.depth, {}
    first = collections.defaultdict(lambda: settings.prompt_first)
    for name in sorted(names):
        block = re.search(r"^encoder/(block_\d+)/", name)
        group = "head" if name.startswith("head/") else "encoder"
        if is_adapter(name):
            group = "lora"
        if settings.prompt_first and _prompts(name):
            group = "prompt"
            first[group] = 0
        if group not in ("head", "prompt") and settings.layer_decay != 1:
            group += f"/{block[1] if block else 'embedding'}"
            if name.startswith("encoder/norm/"):
                continue  # that of the last block
        factors[group] = _factor(name, settings, depth)
    return lambda step: {
        group: np.asarray(rate(step)).item() * factor * (step >= first[group])
        for group, factor in factors.items()
    }


def _prompts(name: str) -> bool:
    """Whether a parameter is of a prompt's branch."""
    return "/prompt/" in name


def _factor(name: str, settings: OptimizerSettings, depth: int) -> float:
    """Return a parameter's rate as a multiple of the last block's."""
    if name.startswith("head/"):
        return settings.head_factor
    block = re.search(r"/block_(\d+)/", name)
    if name.startswith("encoder/norm/"):
        below = 0
    elif block and not name.startswith("encoder/stem/"):
        below = depth - 1 - int(block[1])
    else:
        below = depth  # patch embedding, positions, tokens, stem
    factor = settings.lora_factor if is_adapter(name) else 1.0
    return factor * settings.layer_decay**below


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
    return optax.apply_if_finite(chain, max_consecutive_errors=_NEVER)


def _decayed(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)
