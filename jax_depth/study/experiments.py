"""The two explanations, tested on the model at hand: edits, and what they change."""

import dataclasses
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.depth_map import DepthMap, MapKind
from jax_depth.models.depth_anything import activate
from jax_depth.study.agreement import agreement
from jax_depth.study.common_form import canonical, to_disparity
from jax_depth.study.edits import (
    scale_last_layer,
    scale_tokens,
    shift_last_layer,
    to_one_norm,
)
from jax_depth.study.probe import from_taps, probe
from jax_depth.study.ranges import range_of
from jax_depth.training import losses

# A power of two: multiplying by it rounds nothing.
FACTOR = 8.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one edit did to one picture's map.

    Attributes:
        name: of the edit.
        tokens: median norm of the last block's tokens over that without the edit; None
            where the edit comes after them.
        spread: mean absolute deviation of the map over that without the edit.
        shape: mean absolute difference of the canonical maps, in mean absolute
            deviations; None where one is constant.
        loss: affine-invariant loss against the target, as Depth Anything trains with.
        abs_rel, d1, spearman, edges: aligned to the target, see `agreement`.
        note: why figures are missing; "" usually.
    """

    name: str
    tokens: float | None
    spread: float
    shape: float | None
    loss: float
    abs_rel: float | None = None
    d1: float | None = None
    spearman: float | None = None
    edges: float | None = None
    note: str = ""


def experiments(
    params: Params,
    config: ModelConfig,
    pixels: Float32[np.ndarray, "1 h w 3"],
    target: Float[np.ndarray, "h w"],
) -> list[Outcome]:
    """Change a model in ways that the explanations are about, and measure the result.

    Args:
        params, config: the model.
        pixels: one picture.
        target: inverse depth that plays the truth, at the size of `pixels`.

    Returns:
        One outcome per edit, the unchanged model first: its last layer times `FACTOR`
        and divided by it; its last bias larger by the map's mean absolute deviation;
        every token times `FACTOR`; the tapped tokens all brought to one norm; for a
        hybrid, the maps of its stem times `FACTOR`.

    Raises:
        ValueError: the unchanged map is constant or not finite, so no change of it can
            be measured; or the model's depth is an exponential, of which a factor in
            the last layer is a power.
    """
    if config.head is not None and config.head.activation == "exp":
        raise ValueError(
            f"{config.name} ends in an exponential, so its last layer has no scale to "
            "change"
        )
    plain = probe(params, pixels, config)
    base = _Judge(config, np.asarray(plain["raw"]), _last_norm(plain), target)
    outcomes = [base.outcome("unchanged", plain)]
    offset = range_of(np.asarray(plain["raw"])).deviation
    for name, edited in (
        (f"last layer × {FACTOR:g}", scale_last_layer(params, FACTOR)),
        (f"last layer ÷ {FACTOR:g}", scale_last_layer(params, 1 / FACTOR)),
        ("last bias + one deviation", shift_last_layer(params, offset)),
        (f"every token × {FACTOR:g}", scale_tokens(params, config, FACTOR)),
    ):
        outcomes.append(base.outcome(name, probe(edited, pixels, config)))
    size = (pixels.shape[1], pixels.shape[2])
    level = [to_one_norm(tokens) for tokens in plain["tapped"]]
    raw = from_taps(params, level, plain["stem"], config, size)
    outcomes.append(base.outcome("tapped tokens all of one norm", {"raw": raw}))
    if plain["stem"]:
        stem = [x * jnp.float32(FACTOR) for x in plain["stem"]]
        raw = from_taps(params, plain["tapped"], stem, config, size)
        outcomes.append(base.outcome(f"stem maps × {FACTOR:g}", {"raw": raw}))
    return outcomes


class _Judge:
    """Compares maps with the one of the unchanged model."""

    def __init__(self, config: ModelConfig, raw, norm: float, target):
        self.config, self.norm = config, norm
        self.target = DepthMap(target, "inverse_depth", model="the target")
        self.plain = self._map(raw)
        canonical(self.plain)  # refuses a map without a spread

    def outcome(self, name: str, probed: dict[str, Any]) -> Outcome:
        depth = self._map(np.asarray(probed["raw"]))
        spread = range_of(self.plain.values).deviation
        tokens = _last_norm(probed) / self.norm if "before" in probed else None
        shape, note, judged = None, "", {}
        try:
            moved = canonical(depth) - canonical(self.plain)
            shape = float(np.mean(np.abs(moved), dtype=np.float64))
            found = agreement(depth, self.target)
            names = ("abs_rel", "d1", "spearman", "edges")
            judged = {name: getattr(found, name) for name in names}
        except ValueError as error:
            note = str(error)
        return Outcome(
            name,
            tokens,
            range_of(depth.values).deviation / spread,
            shape,
            self._loss(depth),
            **judged,
            note=note,
        )

    def _map(self, raw) -> DepthMap:
        values = np.asarray(activate(jnp.asarray(raw)[None], self.config))[0]
        kind = cast(MapKind, self.config.kind)
        unit = "m" if kind == "metric_depth" else None
        return DepthMap(values, kind, unit, self.config.name, self.config.max_depth)

    def _loss(self, depth: DepthMap) -> float:
        maps = [to_disparity(depth), self.target.values]
        pred, target = (jnp.asarray(m, jnp.float32)[None] for m in maps)
        mask = jnp.ones(target.shape, bool)
        return float(losses.affine_invariant(pred, target, mask))


def _last_norm(probed: dict[str, Any]) -> float:
    return float(np.median(np.asarray(probed["before"])[-1]))
