"""What a step minimises: the recipe's terms on the network's output."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Bool, Float32, PRNGKeyArray
from jax_depth.config import ModelConfig
from jax_depth.models.depth_anything import activate
from jax_depth.training import losses
from jax_depth.training.recipe import LossSettings
from jax_depth.training.step import Batch

Parts = dict[str, Array]
Objective = Callable[[Float32[Array, "b h w"], Batch], tuple[Float32[Array, ""], Parts]]

_RELATIVE = {
    "affine_invariant": losses.affine_invariant,
    "trimmed": losses.trimmed,
}


def objective(
    settings: LossSettings,
    config: ModelConfig,
    kinds: tuple[str, ...] = ("labelled", "pseudo"),
) -> Objective:
    """Return (raw output, batch) -> (loss, its parts) for a recipe.

    Measured and pseudo-labelled pictures are averaged apart and weighted; a batch
    without one of them has 0 there. Relative terms see the output before its ReLU,
    since where that is dead there would be no gradient.

    Args:
        settings: of the recipe.
        config: of the model.
        kinds: of pictures that occur; the terms of others are not computed.
    """

    def total(raw, batch):
        parts: Parts = {}
        value = jnp.zeros((), jnp.float32)
        for kind in kinds:
            weight = getattr(settings, kind)
            chosen = batch.pseudo if kind == "pseudo" else ~batch.pseudo
            trim = settings.trim if kind == "labelled" else settings.pseudo_trim
            mask = batch.mask & chosen[:, None, None]
            if config.kind == "metric_depth":
                terms = _metric_terms(settings, activate(raw, config), batch, mask)
            else:
                terms = _relative_terms(settings, raw, batch, mask, trim)
            value = value + weight * sum(terms.values(), jnp.zeros((), jnp.float32))
            parts |= {f"{kind}/{name}": term for name, term in terms.items()}
        return value, parts

    return total


def _relative_terms(settings, raw, batch, mask, trim: float) -> Parts:
    target = batch.target
    if settings.main == "least_squares":
        terms = {"least_squares": losses.least_squares(raw, target, mask)}
    elif settings.cutmix:
        main = losses.cutmix_consistency(raw, target, batch.region, mask, trim)
        terms = {settings.main: main}
    else:
        terms = {settings.main: _RELATIVE[settings.main](raw, target, mask, trim)}
    if settings.gradient:
        # Inside each part of a mixed picture, and never across the seam.
        gradient = jnp.zeros((), jnp.float32)
        regions = (batch.region, ~batch.region) if settings.cutmix else (None,)
        for region in regions:
            part = mask if region is None else mask & region
            judged = part & losses.usable(target, part)[:, None, None]
            # Under `part`, as the main term has them: medians are a tenth of a step.
            maps = losses.normalize(raw, part), losses.normalize(target, part)
            gradient = gradient + losses.gradient_matching(*maps, judged)
        terms["gradient"] = settings.gradient * gradient
    if settings.gauge:
        judged = mask & losses.usable(target, mask)[:, None, None]
        some = jnp.maximum(judged.any((1, 2)).sum(), 1).astype(jnp.float32)
        terms["gauge"] = settings.gauge * gauge(raw, target, judged).sum() / some
    if settings.ordinal:
        ranking = losses.ordinal_ranking(raw, target, mask, jax.random.key(0))
        terms["ordinal"] = settings.ordinal * ranking
    return terms


def _metric_terms(settings, depth, batch, mask) -> Parts:
    focus = settings.variance_focus
    terms = {"silog": losses.silog(depth, batch.target, mask, focus)}
    if settings.gradient:
        gradient = losses.log_gradient(depth, batch.target, mask)
        terms["log_gradient"] = settings.gradient * gradient
    return terms


def gauge(
    raw: Float32[Array, "b h w"],
    target: Float32[Array, "b h w"],
    mask: Bool[Array, "b h w"],
) -> Float32[Array, " b"]:
    """Return how far each output is from spread 1 and from zero at infinity.

    The other relative terms see neither the output's scale nor its shift, and nothing
    else holds them: in a network trained from scratch they drift by orders of
    magnitude, the coarse path drowns the fine ones, and the final ReLU cuts whole
    pictures off.

    The median over the spread is compared with the target's, up to 3: in a picture
    with sky the sky comes to lie at 0, and a wall far from everything at 3.
    """
    t, s = losses.median_and_spread(raw, mask)
    t_target, s_target = losses.median_and_spread(target, mask)
    wanted = jnp.clip(t_target / jnp.maximum(s_target, 1e-6), 0.0, 3.0)
    held = jnp.maximum(jax.lax.stop_gradient(s), 0.1)
    distance = jnp.abs(t / held - wanted) + jnp.square(jnp.log(s + 1e-3))
    return jnp.where(mask.any((1, 2)), distance, 0.0)


def cutmix(batch: Batch, share: float, key: PRNGKeyArray) -> Batch:
    """Paste a box of the next pseudo-labelled picture into some of them.

    The box covers 1 - lambda of the picture, lambda uniform, anywhere it fits by its
    centre (Yun et al. 2019, arXiv:1905.04899, algorithm A1).

    Args:
        batch: pictures; those that are measured stay as they are.
        share: probability of a pseudo-labelled picture to be pasted into.
        key: of the boxes.

    Returns:
        The batch with `region` False inside the boxes.
    """
    b, h, w = batch.mask.shape
    draws = jax.random.uniform(key, (4, b), jnp.float32)
    other = jax.tree.map(lambda x: jnp.roll(x, -1, 0), batch)
    assert batch.pseudo is not None and other.pseudo is not None
    chosen = (draws[0] < share) & batch.pseudo & other.pseudo
    side = jnp.sqrt(1.0 - draws[1])

    def inside(size: int, centre) -> Bool[Array, "b _"]:
        place = (jnp.arange(size, dtype=jnp.float32) + 0.5)[None] / size
        return jnp.abs(place - centre[:, None]) < 0.5 * side[:, None]

    box = inside(h, draws[2])[:, :, None] & inside(w, draws[3])[:, None, :]
    box = box & chosen[:, None, None]
    return Batch(
        rgb=jnp.where(box[..., None], other.rgb, batch.rgb),
        target=jnp.where(box, other.target, batch.target),
        mask=jnp.where(box, other.mask, batch.mask),
        pseudo=batch.pseudo,
        region=~box,
    )
