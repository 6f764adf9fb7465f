"""The training step: a pure function of a state and a batch.

    state, metrics = step(state, batch)

Parameters under a frozen prefix get no gradient, no optimiser state and no backward
pass; a step whose gradient is not finite changes nothing but the step's number.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, cast, no_type_check

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from jax_depth._typing import Array, Bool, Float, Float32, Params, UInt8
from jax_depth.config import ModelConfig
from jax_depth.models.depth_anything import features
from jax_depth.training import adapters, losses

Flat = dict[str, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything a run needs to resume; parameters flat, with "/"-joined names.

    Attributes:
        step: number of steps taken, skipped ones included.
        trained: parameters that learn.
        frozen: parameters that do not.
        average: exponential moving average of `trained`, the weights to ship.
        optimizer: state of the optimiser.
    """

    # Any, not arrays: the same tree holds shardings and shapes, see `mesh`.
    step: Any
    trained: dict[str, Any]
    frozen: dict[str, Any]
    average: dict[str, Any]
    optimizer: Any

    def params(self, averaged: bool = True) -> dict:
        """Return the nested parameters, averaged ones by default, factors merged."""
        flat = self.frozen | (self.average if averaged else self.trained)
        return traverse_util.unflatten_dict(adapters.merge(flat), sep="/")


# The import hook leaves it alone: the same tree holds the shapes of a batch.
@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Pictures and what is known of them.

    Attributes:
        rgb: sRGB bytes, or floats nominally in [0, 1].
        target: disparity, larger is nearer, sky 0, or metres for a metric model;
            anything where unknown.
        mask: True where `target` is known.
        pseudo: which targets another network predicted; None where it is not needed.
        region: False where a picture comes from another one, see `cutmix`; None
            where nothing is mixed.
        prompt: coarse depth in metres, of any size, for models that take it.
        used: share of each picture's known depth that lies in the recipe's range, for
            the log; None where it is not counted.
    """

    rgb: UInt8[Array, "b h w 3"] | Float32[Array, "b h w 3"]
    target: Float32[Array, "b h w"]
    mask: Bool[Array, "b h w"]
    pseudo: Bool[Array, " b"] | None = None
    region: Bool[Array, "b h w"] | None = None
    used: Float32[Array, " b"] | None = None
    prompt: Float32[Array, "b h2 w2"] | None = None


def init_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...] = (),
) -> TrainState:
    """Return the state before the first step.

    Args:
        params: nested parameters, with those of `adapters` if there are any.
        optimizer: see `optimizer.adamw`.
        frozen: prefixes of parameters that stay as they are: "encoder/stem". The
            factors of `adapters` learn even there.

    Raises:
        ValueError: a prefix that no parameter has, or all parameters are frozen.
    """
    flat = cast(Flat, traverse_util.flatten_dict(dict(params), sep="/"))
    for prefix in frozen:
        if not any(_under(name, prefix) for name in flat):
            raise ValueError(f"no parameter is under {prefix!r}, so none is frozen")
    held = {
        k
        for k in flat
        if any(_under(k, prefix) for prefix in frozen) and not adapters.is_adapter(k)
    }
    trained = {k: v for k, v in flat.items() if k not in held}
    if not trained:
        raise ValueError(
            f"nothing would be trained: model.frozen={', '.join(frozen)} freezes every "
            "parameter; leave one out"
        )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        trained=trained,
        frozen={k: flat[k] for k in held},
        average=jax.tree.map(jnp.copy, trained),
        optimizer=optimizer.init(trained),
    )


@dataclasses.dataclass(frozen=True)
class FeatureAlignment:
    """Keep the tokens of pseudo-labelled pictures close to a frozen encoder's.

    Attributes:
        config: of the frozen encoder, whose parameters the step takes as third.
        weight: of the term.
        margin: see `losses.feature_alignment`.
    """

    config: ModelConfig
    weight: float
    margin: float


def make_step(
    config: ModelConfig,
    optimizer: optax.GradientTransformation,
    loss: Callable,
    decay: float = 0.999,
    *,
    accumulate: int = 1,
    mix: Callable[[Batch, Array], Batch] | None = None,
    alignment: FeatureAlignment | None = None,
    context: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    shardings: Any = None,
    seed: int = 0,
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Return the jitted step; the state passed in is donated.

    Args:
        config: the model.
        optimizer: the one the state was made with.
        loss: (raw output, batch) -> (scalar, dict of scalars to report); one with a
            parameter `key` is given a new PRNG key at every step.
        decay: of the moving average, reached after a warm-up of (1 + t) / (10 + t).
        accumulate: batches to an optimiser step, as in `optimizer`.
        mix: (batch, number of the batch) -> batch; augmentation on the device.
        alignment: adds a term against a frozen encoder; the step then takes that
            encoder's parameters after the batch.
        context: entered where the networks run, see `mesh.held_activations`.
        shardings: of the state, see `mesh.state_shardings`; None on one device.
        seed: of the keys of `loss`.
    """

    wants_key = "key" in inspect.signature(loss).parameters

    def objective(
        trained: Flat, frozen: Flat, batch: Batch, reference: Params | None, number
    ):
        merged = adapters.merge(trained | frozen)
        params = traverse_util.unflatten_dict(merged, sep="/")
        pixels = normalize_rgb(batch.rgb, config)
        beside = {} if batch.prompt is None else {"prompt": batch.prompt}
        with context():
            raw, named = raw_and_features(params, pixels, config, **beside)
        more = {"key": jax.random.fold_in(jax.random.key(seed), number)}
        value, parts = loss(raw, batch, **(more if wants_key else {}))
        if alignment is not None:
            assert reference is not None and batch.pseudo is not None
            with context():
                wanted = features(reference, pixels, alignment.config)["patches"]
            pseudo = batch.pseudo[:, None, None, None]
            # A picture aligned with itself adds nothing.
            wanted = jnp.where(pseudo, wanted, named["patches"])
            mean = losses.feature_alignment(named["patches"], wanted, alignment.margin)
            count = jnp.maximum(batch.pseudo.sum(), 1).astype(jnp.float32)
            parts["feature"] = alignment.weight * mean * (pseudo.size / count)
            value = value + parts["feature"]
        return value, parts

    def step(state: TrainState, batch: Batch, reference: Params | None = None):
        if mix is not None:
            batch = mix(batch, state.step)
        (value, parts), gradient = jax.value_and_grad(objective, has_aux=True)(
            state.trained, state.frozen, batch, reference, state.step
        )
        finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)]
        finite = jnp.stack(finite).all()
        # optax raises a float to its integer step count.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(
                gradient, state.optimizer, state.trained
            )
        trained = cast(Flat, optax.apply_updates(state.trained, updates))
        if accumulate == 1:
            changed, number = finite, state.step
        else:
            number = cast(Any, state.optimizer).gradient_step
            changed = cast(Any, optimizer_state).gradient_step > number
        t = number.astype(jnp.float32)
        share = 1.0 - jnp.minimum(decay, (1.0 + t) / (10.0 + t))
        share = jnp.where(changed, share, 0.0)
        average = optax.incremental_update(trained, state.average, share)
        metrics = {
            "loss": value,
            "gradient_norm": optax.tree.norm(gradient),
            "finite": finite,
            **parts,
        }
        if batch.used is not None:
            metrics["share_of_depth_used"] = batch.used.mean()
        return TrainState(
            step=state.step + 1,
            trained=trained,
            frozen=state.frozen,
            average=cast(Flat, average),
            optimizer=optimizer_state,
        ), metrics

    if shardings is None:
        return jax.jit(step, donate_argnums=0)
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings, None))


def raw_and_features(
    params: Params, pixels: Float[Array, "b h w 3"], config: ModelConfig, **beside: Any
) -> tuple[Float32[Array, "b h w"], dict[str, Array]]:
    """Return the output before its activation and every named intermediate."""
    named = features(params, pixels, config, **beside)
    return named["raw"], named


def normalize_rgb(
    rgb: UInt8[Array, "b h w 3"] | Float32[Array, "b h w 3"], config: ModelConfig
) -> Float[Array, "b h w 3"]:
    """Return (rgb - mean) / std as the network expects it, bytes divided by 255."""
    mean = jnp.asarray(config.mean, jnp.float32)[None, None, None, :]
    std = jnp.asarray(config.std, jnp.float32)[None, None, None, :]
    if rgb.dtype == jnp.uint8:
        rgb = rgb.astype(jnp.float32) / 255.0
    return (rgb - mean) / std


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + "/")
