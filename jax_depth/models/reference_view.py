"""Which of several views defines the world, and the order that puts it first.

Upstream: ByteDance-Seed/Depth-Anything-3 `model/reference_view_selector.py`.
"""

from typing import Literal, get_args

import jax.numpy as jnp

from jax_depth._typing import Array, Float32, Int32

Reference = Literal["first", "middle", "saddle_balanced", "saddle_sim_range"]

# Upstream `utils/constants.py`: below this the first view is always taken.
MIN_VIEWS = 3


def check_reference(strategy: str) -> None:
    """Raise ValueError for a strategy that does not exist."""
    if strategy not in get_args(Reference):
        known = ", ".join(map(repr, get_args(Reference)))
        raise ValueError(f"reference {strategy!r} is unknown; use one of {known}")


def select_reference(
    tokens: Float32[Array, "b v d"], strategy: Reference = "saddle_balanced"
) -> Int32[Array, " b"]:
    """Choose the reference view of each scene.

    Args:
        tokens: the class token of every view.
        strategy: "first"; "middle", view v // 2; "saddle_balanced", the view whose
            similarity to the others, norm and variance lie nearest to the middle of
            their ranges; "saddle_sim_range", the one whose similarities differ most.

    Returns:
        Index of the view. With one or two views always 0, whatever the strategy.
        Near ties are decided by rounding; where no similarity is negative,
        "saddle_sim_range" always ties between the two views most alike, as upstream.

    Raises:
        ValueError: an unknown strategy.
    """
    check_reference(strategy)
    b, v, _ = tokens.shape
    if v < MIN_VIEWS or strategy == "first":
        return jnp.zeros(b, jnp.int32)
    if strategy == "middle":
        return jnp.full(b, v // 2, jnp.int32)

    norm = jnp.sqrt(jnp.square(tokens).sum(-1))
    unit = tokens / norm[..., None]
    similarity = jnp.einsum("bvd,bwd->bvw", unit, unit, precision="highest")
    similarity = similarity - jnp.eye(v, dtype=jnp.float32)[None]
    if strategy == "saddle_sim_range":
        # The diagonal, near 0 now, takes part, as upstream.
        spread = similarity.max(-1) - similarity.min(-1)
        return spread.argmax(1).astype(jnp.int32)
    metrics = (similarity.sum(-1) / (v - 1), norm, unit.var(-1, ddof=1))
    score = sum(jnp.abs(_to_unit_range(metric) - 0.5) for metric in metrics)
    return jnp.asarray(score).argmin(1).astype(jnp.int32)


def reference_first(reference: Int32[Array, " b"], views: int) -> Int32[Array, "b v"]:
    """Return the order r, 0, .., r - 1, r + 1, .. of each scene's views."""
    place = jnp.arange(views, dtype=jnp.int32)[None]
    chosen = reference[:, None]
    moved = jnp.where((place > 0) & (place <= chosen), place - 1, place)
    return jnp.where(place == 0, chosen, moved)


def as_given(reference: Int32[Array, " b"], views: int) -> Int32[Array, "b v"]:
    """Return the order that undoes `reference_first`."""
    place = jnp.arange(views, dtype=jnp.int32)[None]
    chosen = reference[:, None]
    moved = jnp.where(place < chosen, place + 1, place)
    return jnp.where(place == chosen, 0, moved)


def reorder(x: Array, order: Int32[Array, "b v"]) -> Array:
    """Take the views of each scene in an order; x is (b, v, ...)."""
    index = order.reshape(*order.shape, *(1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, axis=1)


def _to_unit_range(metric: Float32[Array, "b v"]) -> Float32[Array, "b v"]:
    low, high = metric.min(1, keepdims=True), metric.max(1, keepdims=True)
    return (metric - low) / (high - low + 1e-8)
