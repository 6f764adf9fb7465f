"""What a step minimises: the recipe's terms on the network's output."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_depth._typing import Array, Bool, Float32, PRNGKeyArray
from jax_depth.config import ModelConfig
from jax_depth.models.depth_anything import activate
from jax_depth.models.prompted import in_range
from jax_depth.training.losses import gauge
from jax_depth.training.recipe import LossSettings
from jax_depth.training.step import Batch

__all__ = ["cutmix", "gauge", "objective"]

Parts = dict[str, Array]
Objective = Callable[..., tuple[Float32[Array, ""], Parts]]


def objective(
    settings: LossSettings,
    config: ModelConfig,
    kinds: tuple[str, ...] = ("labelled", "pseudo"),
) -> Objective:
    """Return (raw output, batch, key) -> (loss, its parts) for a recipe.

    Measured and pseudo-labelled pictures are averaged separately and weighted; a batch
    without one of them has 0 there. Relative terms see the output before its ReLU,
    since where that is dead there would be no gradient.

    Args:
        settings: of the recipe.
        config: of the model.
        kinds: of pictures that occur; the terms of others are not computed.

    Raises:
        ValueError: a term that does not exist or does not fit the model.
    """
    metric = config.kind == "metric_depth"
    model = "metric_depth" if metric else "inverse_depth"
    terms = [(term, term.function(model)) for term in settings.listed()]
    trims = {"labelled": settings.trim, "pseudo": settings.pseudo_trim}

    def total(raw, batch, key=None):
        parts: Parts = {}
        value = jnp.zeros((), jnp.float32)
        pred = activate(raw, config) if metric else raw
        if batch.prompt is not None:
            pred = in_range(raw, batch.prompt)
        key = jax.random.key(0) if key is None else key
        for number, kind in enumerate(kinds):
            chosen = batch.pseudo if kind == "pseudo" else ~batch.pseudo
            mask = batch.mask & chosen[:, None, None]
            of_kind = jnp.zeros((), jnp.float32)
            for position, (term, function) in enumerate(terms):
                part = term.weight * function(
                    pred,
                    batch.target,
                    mask,
                    key=jax.random.fold_in(key, 2 * position + number),
                    region=batch.region if settings.cutmix else None,
                    trim=trims[kind],
                )
                parts[f"{kind}/{term.name}"] = part
                of_kind = of_kind + part
            value = value + getattr(settings, kind) * of_kind
        return value, parts

    return total


def cutmix(batch: Batch, share: float, key: PRNGKeyArray) -> Batch:
    """Paste a box of another pseudo-labelled picture of the batch into some of them.

    In a random order of the pseudo-labelled pictures each takes from the next, so the
    share holds whatever else is in the batch, and wherever.

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
    assert batch.pseudo is not None
    draws = jax.random.uniform(key, (5, b), jnp.float32)
    order = jnp.argsort(jnp.where(batch.pseudo, draws[4], 2.0))  # they come first
    count = jnp.maximum(batch.pseudo.sum(), 1)
    partner = order[(jnp.argsort(order) + 1) % count]
    other = jax.tree.map(lambda x: jnp.asarray(x)[partner], batch)
    # A lone picture would be pasted into itself.
    chosen = (draws[0] < share) & batch.pseudo & (count > 1)
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
        used=batch.used,
    )
