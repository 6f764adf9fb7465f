"""What a training run is: frozen dataclasses, complete, to and from JSON.

`recipes.RECIPES` holds the named ones with the source of each number. Nothing in a
run is decided elsewhere: the same recipe, data and seed give the same run.
"""

import dataclasses
from typing import Literal

from jax_depth.training.augment import Augmentation
from jax_depth.training.losses.registry import Term
from jax_depth.training.prompt_simulation import PromptSimulation
from jax_depth.training.setting import (
    ABOVE_0,
    BELOW_1,
    FROM_0,
    FROM_1,
    SHARE,
    TO_INFINITY,
    Bounds,
    check,
    leaves,
    setting,
)

__all__ = ["leaves"]  # and the dataclasses

_AS_IS = Augmentation.flip_only()
_PROMPT = PromptSimulation()


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The network, and what it starts from.

    Attributes:
        architecture: a catalogue name, or "smoke", a ViT of two blocks.
        kind: what the result predicts.
        max_depth: metres at which a metric model saturates, else None; for one that
            takes a prompt, the distance beyond which it learns nothing.
        init: catalogue name, model directory or weight file; "" draws at random.
        init_parts: what is taken from `init`; "encoder" leaves the head at random.
        frozen: prefixes of parameters that do not learn: "encoder".
        lora_rank: rank of `adapters` in the encoder, the rest of which is frozen
            then; 0 for none.
        dtype: for matrix products and convolutions; parameters are float32.
        remat: recompute each block in the backward pass: less memory.
        scan: run the blocks as a loop: a shorter compilation.
    """

    architecture: str
    kind: Literal["inverse_depth", "metric_depth"] = "inverse_depth"
    max_depth: float | None = setting(ABOVE_0, None)
    init: str = ""
    init_parts: Literal["all", "encoder"] = "all"
    frozen: tuple[str, ...] = ()
    lora_rank: int = setting(FROM_0, 0)
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    remat: bool = False
    scan: bool = False


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """What a batch is made of.

    Attributes:
        size: side of the square crop in pixels.
        batch: pictures per optimiser step, over all devices.
        pseudo_share: share of pseudo-labelled pictures where both kinds are given.
        min_depth, max_depth: metres; pixels outside are masked.
        augmentation: of pictures with measured or rendered depth.
        pseudo_augmentation: of pseudo-labelled pictures.
        prompt: what a model that takes a prompt gets, made from the dense depth.
        threads: that read and augment; None for as many as this machine has cores.
        workers: processes that do it instead, each with `threads` of its own (None:
            one); 0 for the run's own process.
        prefetch: batches made ahead.
        unreadable_limit: unusable samples after which the run ends.
    """

    size: int = setting(FROM_1, 518)
    batch: int = setting(FROM_1, 32)
    pseudo_share: float = setting(SHARE, 0.0)
    min_depth: float = setting(ABOVE_0, 1e-3)
    max_depth: float = setting(TO_INFINITY, 1e6)
    augmentation: Augmentation = _AS_IS
    pseudo_augmentation: Augmentation = _AS_IS
    prompt: PromptSimulation = _PROMPT
    threads: int | None = setting(FROM_0, None)
    workers: int = setting(FROM_0, 0)
    prefetch: int = setting(FROM_0, 4)
    unreadable_limit: int = setting(FROM_0, 100)


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """Terms and their weights; see `losses` and `objectives`.

    Attributes:
        main: the term on every map; "silog" for metres only.
        trim: share of worst pixels left out of a picture with true depth.
        pseudo_trim: the same for a pseudo-labelled picture.
        gradient: weight of gradient matching; of log depth for metres.
        variance_focus: of SiLog.
        labelled, pseudo: weights of the two kinds of pictures.
        gauge: weight of what holds a relative output's scale and shift.
        ordinal: weight of the ranking of random pairs of pixels.
        cutmix: share of pseudo-labelled pictures that are pasted into another.
        feature: weight of the alignment to a frozen encoder.
        feature_reference: that encoder, a catalogue name or file.
        feature_margin: cosine above which a token is left alone.
        terms: further ones, each (name, weight, options) of a registered loss or of
            one's own, "package.module:function"; see `losses.registry`.
        only_terms: leave out `main` and the weighted ones.
    """

    main: Literal["affine_invariant", "trimmed", "least_squares", "silog"] = (
        "affine_invariant"
    )
    trim: float = setting(BELOW_1, 0.0)
    pseudo_trim: float = setting(BELOW_1, 0.0)
    gradient: float = setting(FROM_0, 0.5)
    variance_focus: float = setting(SHARE, 0.5)
    labelled: float = setting(FROM_0, 1.0)
    pseudo: float = setting(FROM_0, 1.0)
    gauge: float = setting(FROM_0, 0.0)
    ordinal: float = setting(FROM_0, 0.0)
    cutmix: float = setting(SHARE, 0.0)
    feature: float = setting(FROM_0, 0.0)
    feature_reference: str = ""
    feature_margin: float = setting(Bounds(-1, 1), 0.85)
    terms: tuple[Term, ...] = ()
    only_terms: bool = False

    def listed(self) -> tuple[Term, ...]:
        """Return every term on maps: (name, weight, options), the main one first."""
        metric = self.main == "silog"
        options = {"variance_focus": self.variance_focus} if metric else {}
        # MiDaS aligns the gradients as it aligns the maps.
        squares = self.main == "least_squares"
        align = {"align": "least_squares"} if squares else {}
        others = (
            Term("log_gradient" if metric else "gradient", self.gradient, align),
            *(() if metric else (Term("gauge", self.gauge),)),
            *(() if metric else (Term("ordinal", self.ordinal),)),
        )
        if self.only_terms:
            return self.terms
        weighty = [term for term in others if term.weight]
        return Term(self.main, 1.0, options), *weighty, *self.terms


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """AdamW, its schedule, and the average of its parameters.

    Attributes:
        learning_rate: peak, of the encoder's last block.
        head_factor: the head's rate as a multiple of it.
        lora_factor: the same of the factors of `model.lora_rank`.
        layer_decay: factor of the rate from a block to the one before it.
        prompt_first: steps at the beginning in which a prompt's branch learns alone.
        b1, b2, eps: of Adam.
        weight_decay: decoupled, multiplied by the rate.
        decay_all: decay biases, norms and gains as well.
        clip_norm: global norm above which a gradient is scaled down.
        schedule: after the warm-up: hold, or fall to 0 at the end.
        warmup: steps from rate 0 to the peak.
        cooldown: last steps of a "constant" schedule, which fall to 0.
        accumulate: parts a batch is computed in, one after the other.
        average: decay of the parameters' moving average, per step.
    """

    learning_rate: float = setting(ABOVE_0, 5e-6)
    head_factor: float = setting(FROM_0, 10.0)
    lora_factor: float = setting(FROM_0, 20.0)
    layer_decay: float = setting(SHARE, 1.0)
    prompt_first: int = setting(FROM_0, 0)
    b1: float = setting(BELOW_1, 0.9)
    b2: float = setting(BELOW_1, 0.999)
    eps: float = setting(ABOVE_0, 1e-8)
    weight_decay: float = setting(FROM_0, 0.01)
    decay_all: bool = False
    clip_norm: float = setting(TO_INFINITY, 1.0)
    schedule: Literal["constant", "linear", "polynomial", "cosine"] = "linear"
    warmup: int = setting(FROM_0, 0)
    cooldown: int = setting(FROM_0, 0)
    accumulate: int = setting(FROM_1, 1)
    average: float = setting(SHARE, 0.9999)


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Length, cadence, chance and devices.

    Attributes:
        steps: optimiser steps of the whole run.
        seed: of parameters, data order and augmentation.
        save_every: steps between checkpoints.
        evaluate_every: steps between evaluations; each is saved too.
        evaluate_images: held-out pictures per evaluation.
        log_every: steps between lines of the log.
        keep: newest checkpoints kept, besides the best.
        fsdp: devices that share each parameter; the others share the batch.
        shard_above: elements from which a parameter is shared.
        skip_limit: consecutive steps without a finite gradient that end the run.
        save_minutes: minutes after which a checkpoint is saved at any step; 0 leaves it
            to `save_every`.
        best: metric of the first held-out set, or NAME/METRIC of another, that chooses
            the best model: the greatest d1, d2 or d3, the least of others.
        patience: evaluations without a better one that end the run; 0 for never.
        profile: first and last step to trace for TensorBoard; empty for none.
    """

    steps: int = setting(FROM_1)
    seed: int = setting(Bounds(0, 2**31 - 1), 0)
    save_every: int = setting(FROM_1, 1000)
    evaluate_every: int = setting(FROM_1, 5000)
    evaluate_images: int = setting(FROM_1, 64)
    log_every: int = setting(FROM_1, 50)
    keep: int = setting(FROM_1, 2)
    fsdp: int = setting(FROM_1, 1)
    shard_above: int = setting(FROM_0, 2**18)
    skip_limit: int = setting(FROM_1, 10)
    save_minutes: float = setting(FROM_0, 0.0)
    best: str = "abs_rel"
    patience: int = setting(FROM_0, 0)
    profile: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A whole run."""

    name: str
    model: ModelSettings
    data: DataSettings
    loss: LossSettings
    optimizer: OptimizerSettings
    run: RunSettings

    def __post_init__(self):
        try:
            check(self)
            self._check_depths()
            self._check_terms()
        except ValueError as error:
            raise ValueError(f"recipe {self.name!r}: {error}") from None
        metric = self.model.kind == "metric_depth"
        if metric != (self.loss.main == "silog"):
            raise ValueError(
                f"recipe {self.name!r}: loss.main {self.loss.main!r} does not go with "
                f"model.kind {self.model.kind!r}; silog is for metric_depth, the "
                "others for inverse_depth"
            )
        if metric != (self.model.max_depth is not None):
            raise ValueError(
                f"recipe {self.name!r}: model.max_depth {self.model.max_depth} does "
                f"not go with model.kind {self.model.kind!r}; give metres for "
                "metric_depth, None for inverse_depth"
            )
        if self.data.batch % self.optimizer.accumulate:
            raise ValueError(
                f"recipe {self.name!r}: data.batch {self.data.batch} cannot be "
                f"computed in optimizer.accumulate {self.optimizer.accumulate} equal "
                "parts"
            )
        ends = self.run.profile
        if ends and not (len(ends) == 2 and 0 < ends[0] <= ends[1]):
            raise ValueError(
                f"recipe {self.name!r}: run.profile={self.run.profile} must be a first "
                "and a last step, as in 100,110"
            )
        if self.loss.feature and not self.loss.feature_reference:
            raise ValueError(
                f"recipe {self.name!r}: loss.feature needs loss.feature_reference, "
                "the encoder to stay close to"
            )

    def _check_depths(self) -> None:
        least = self.data.min_depth
        for key, most in {
            "data.max_depth": self.data.max_depth,
            "model.max_depth": self.model.max_depth,
        }.items():
            if most is not None and not least < most:
                raise ValueError(
                    f"data.min_depth={least:g} must be below {key}={most:g}: no pixel "
                    "lies between"
                )

    def _check_terms(self) -> None:
        for term in self.loss.terms:
            try:
                # What cannot be imported here may be importable where the run is
                # resumed.
                if ":" not in term.text:
                    term.function(self.model.kind)
            except ValueError as error:
                raise ValueError(f"loss.terms: {error}") from None


def frozen_prefixes(settings: ModelSettings) -> tuple[str, ...]:
    """Return the prefixes of parameters that do not learn."""
    return settings.frozen + (("encoder",) if settings.lora_rank else ())
