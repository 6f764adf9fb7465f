"""The range of every number in a recipe: outside it a run fails late, or in silence."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Range:
    """From `low` to `high`.

    Attributes:
        low, high: the ends.
        open_low, open_high: the end itself is outside.
        infinite: infinity is inside.
        ordered: of a pair of numbers, the first of which is not above the second.
    """

    low: int | float = 0
    high: int | float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False
    ordered: bool = False

    def __contains__(self, value: object) -> bool:
        # Written so that nan is in none.
        if not isinstance(value, int | float) or (
            math.isinf(value) and not self.infinite
        ):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.open_low else 'at least'} {self.low:.10g}"
        if math.isinf(self.high):
            return low
        high = f"{'below' if self.open_high else 'at most'} {self.high:.10g}"
        return f"{low} and {high}"


_ABOVE_0 = Range(open_low=True)
_TO_INFINITY = Range(open_low=True, infinite=True)
_FROM_0, _FROM_1 = Range(), Range(1)
_SHARE = Range(0, 1)
_BELOW_1 = Range(0, 1, open_high=True)

_AUGMENTATION = {
    "crop": Range(0, 1, open_low=True, ordered=True),
    "stretch": _FROM_0,
    "flip_share": _SHARE,
    "gamma": _FROM_0,
    # The picture is divided by it.
    "contrast": _BELOW_1,
    "brightness": _SHARE,
    "saturation": _SHARE,
    "channel_gain": _SHARE,
    "grey_share": _SHARE,
    "blur_share": _SHARE,
    "blur": Range(ordered=True),
    "noise_share": _SHARE,
    "noise": Range(ordered=True),
    "jpeg_share": _SHARE,
    "jpeg": Range(1, 100, ordered=True),
}
BOUNDS: Mapping[str, Range] = {
    "model.max_depth": _ABOVE_0,
    "model.lora_rank": _FROM_0,
    "data.size": _FROM_1,
    "data.batch": _FROM_1,
    "data.pseudo_share": _SHARE,
    "data.min_depth": _ABOVE_0,
    "data.max_depth": _TO_INFINITY,
    **{f"data.augmentation.{key}": bound for key, bound in _AUGMENTATION.items()},
    **{f"data.pseudo_augmentation.{k}": bound for k, bound in _AUGMENTATION.items()},
    "data.threads": _FROM_0,
    "data.prefetch": _FROM_0,
    "data.unreadable_limit": _FROM_0,
    "loss.trim": _BELOW_1,
    "loss.pseudo_trim": _BELOW_1,
    "loss.gradient": _FROM_0,
    "loss.variance_focus": _SHARE,
    "loss.labelled": _FROM_0,
    "loss.pseudo": _FROM_0,
    "loss.gauge": _FROM_0,
    "loss.ordinal": _FROM_0,
    "loss.cutmix": _SHARE,
    "loss.feature": _FROM_0,
    "loss.feature_margin": Range(-1, 1),
    "optimizer.learning_rate": _ABOVE_0,
    "optimizer.head_factor": _FROM_0,
    "optimizer.lora_factor": _FROM_0,
    "optimizer.layer_decay": _SHARE,
    "optimizer.b1": _BELOW_1,
    "optimizer.b2": _BELOW_1,
    "optimizer.eps": _ABOVE_0,
    "optimizer.weight_decay": _FROM_0,
    "optimizer.clip_norm": _TO_INFINITY,
    "optimizer.warmup": _FROM_0,
    "optimizer.cooldown": _FROM_0,
    "optimizer.accumulate": _FROM_1,
    "optimizer.average": _SHARE,
    "run.steps": _FROM_1,
    "run.seed": Range(0, 2**31 - 1),
    "run.save_every": _FROM_1,
    "run.evaluate_every": _FROM_1,
    "run.evaluate_images": _FROM_1,
    "run.log_every": _FROM_1,
    "run.keep": _FROM_1,
    "run.fsdp": _FROM_1,
    "run.shard_above": _FROM_0,
    "run.skip_limit": _FROM_1,
}


def check(settings: Mapping[str, Any]) -> None:
    """Check every number among settings by dotted key; None is no number.

    Raises:
        ValueError: one is outside its range, or a pair is the wrong way round.
    """
    for key, bound in BOUNDS.items():
        value = settings[key]
        values = value if isinstance(value, tuple) else (value,)
        if any(v is not None and v not in bound for v in values):
            shown = ",".join(map(str, values))
            each = "two numbers, each " if bound.ordered else ""
            finite = " and finite" if math.inf in values else ""
            raise ValueError(f"{key}={shown} must be {each}{bound}{finite}")
        # The greatest quality is left out of what is drawn.
        least, greatest = (values[0], values[-1]) if bound.ordered else (0, 1)
        strict = key.endswith(".jpeg")
        if least > greatest or (strict and least == greatest):
            word = "below" if strict else "at most"
            raise ValueError(
                f"{key}={least},{greatest}: the first must be {word} the second"
            )
    _check_depths(settings)


def _check_depths(settings: Mapping[str, Any]) -> None:
    least = settings["data.min_depth"]
    for key in ("data.max_depth", "model.max_depth"):
        most = settings[key]
        if most is not None and not least < most:
            raise ValueError(
                f"data.min_depth={least:g} must be below {key}={most:g}: no pixel lies "
                "between"
            )
