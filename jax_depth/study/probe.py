"""What happens inside a network: norms of tokens, size of every stage."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jax_depth._typing import Array, Float32, Params
from jax_depth.config import ModelConfig, with_encoder
from jax_depth.models import architectures
from jax_depth.models.depth_anything import features
from jax_depth.models.dpt import DPTHead
from jax_depth.models.grid import token_grid
from jax_depth.models.layers import LayerNorm

# A patch token is an outlier from this many times the median norm of its block on.
# Darcet et al. 2023 (arXiv:2309.16588) chose 150 by eye for ViT-g, "can vary across
# models"; the factor is our choice, and the share above 150 is given beside it.
OUTLIER = 3.0
PUBLISHED = 150.0

# What the root mean square is taken of, in the order a picture passes.
STAGES = {
    "tokens": "tapped tokens, before the final LayerNorm",
    "taps": "tapped tokens, after it",
    "levels": "head: four maps, reassembled",
    "path_4": "head: fusion 4",
    "path_3": "head: fusion 3",
    "path_2": "head: fusion 2",
    "path_1": "head: fusion 1",
    "output_1": "head: output convolution 1",
    "output_2": "head: output convolution 2",
    "raw": "head: output convolution 3, the map",
}


@functools.partial(jax.jit, static_argnums=2)
def probe(
    params: Params, pixels: Float[Array, "1 h w 3"], config: ModelConfig
) -> dict[str, Any]:
    """Run one picture and return what the study reads from inside the network.

    Args:
        params, pixels, config: as in `jax_depth.forward`, which gives the same map.

    Returns:
        "raw" (h, w), before the last activation; "before" and "after" (blocks + 1, n),
        the norm of every token, special ones included, after the embedding and after
        each block, as it is and as the final LayerNorm leaves it; "rms", the root mean
        square of every one of `STAGES`; "tapped", a list of the tapped blocks' tokens
        (1, n, d) before the final LayerNorm; "stem", the maps that reach the head
        without it, empty but for the hybrid.
    """
    config = with_encoder(config, scan=False)
    if architectures.network_row(config).axis is None:
        named = features(params, pixels, config)
    else:  # one picture is the only view
        named = {k: x[:, 0] for k, x in _features_of_one_view(params, pixels, config)}
    taps = config.encoder.taps
    blocks = [named["embedding"]]
    blocks += [named[f"block_{i}"] for i in range(config.encoder.depth)]
    tapped = [named[f"block_{i}"] for i in taps]
    first = 4 - len(taps)
    normed = [named[f"tap_{i}"] for i in range(first, 4)]
    patches = normed[0].shape[1] * normed[0].shape[2]
    groups = {name: [named[name]] for name in STAGES if name in named}
    groups |= {
        "tokens": [tokens[:, -patches:] for tokens in tapped],
        "taps": normed,
        "levels": [named[f"level_{i}"] for i in (1, 2, 3, 4)],
    }
    return {
        "raw": named["raw"][0],
        "before": jnp.stack([_lengths(x)[0] for x in blocks]),
        "after": jnp.stack(
            [_lengths(final_norm(params, x, config))[0] for x in blocks]
        ),
        "rms": {name: _rms(maps) for name, maps in groups.items()},
        "tapped": tapped,
        "stem": [named[f"tap_{i}"] for i in range(first)],
    }


@functools.partial(jax.jit, static_argnums=(3, 4))
def from_taps(
    params: Params,
    tapped: list[Float32[Array, "1 n d"]],
    stem: list[Float32[Array, "1 _ _ _"]],
    config: ModelConfig,
    size: tuple[int, int],
) -> Float32[Array, "h w"]:
    """Run the final LayerNorm and the head on tokens that may have been changed.

    Args:
        params, config: of the model.
        tapped, stem: as `probe` returns them.
        size: (h, w) of the pixels.

    Returns:
        The map before its last activation.
    """
    assert config.head is not None
    grid = token_grid(config.encoder, size)
    maps = list(stem)
    for tokens in tapped:
        patches = final_norm(params, tokens, config)[:, -grid[0] * grid[1] :]
        maps.append(patches.reshape(1, *grid, -1))
    head = DPTHead(config.head, jnp.dtype(config.dtype))
    raw, _ = head.apply({"params": params["head"]}, tuple(maps), size)
    return raw[0]


def final_norm(
    params: Params, tokens: Float[Array, "b n d"], config: ModelConfig
) -> Float32[Array, "b n d"]:
    """Apply the encoder's final LayerNorm, as every tap goes through it."""
    norm = LayerNorm(getattr(config.encoder, "norm_epsilon", 1e-6))
    normed: Any = norm.apply({"params": params["encoder"]["norm"]}, tokens)
    return normed


def _features_of_one_view(params, pixels, config: ModelConfig):
    """Yield those intermediates of an any-view model that belong to a view."""
    for name, x in features(params, pixels[:, None], config).items():
        if x.ndim > 2 and x.shape[:2] == (1, 1):
            yield name, x


def _lengths(tokens) -> Float32[Array, "b n"]:
    return jnp.sqrt(jnp.square(tokens).sum(-1))


def _rms(maps) -> Float32[Array, ""]:
    """Return the root of the mean over maps of each one's mean square."""
    return jnp.sqrt(sum(jnp.square(x).mean() for x in maps) / np.float32(len(maps)))


@dataclasses.dataclass(frozen=True, eq=False)
class TokenNorms:
    """Norms of the patch tokens of one picture, after the embedding and each block.

    Attributes:
        median, p99, largest: float (blocks + 1,), before the final LayerNorm.
        after_median, after_p99, after_largest: the same after it.
        special: float (blocks + 1,), the largest norm of cls and register tokens; NaN
            for an encoder without any.
        outliers: share of patch tokens above `OUTLIER` times the median.
        published: share above `PUBLISHED`.
        block: index of the block with most outliers, the last one when there are none.
        where: float (ph, pw), norms of that block over its median.
    """

    median: Float[np.ndarray, " k"]
    p99: Float[np.ndarray, " k"]
    largest: Float[np.ndarray, " k"]
    after_median: Float[np.ndarray, " k"]
    after_p99: Float[np.ndarray, " k"]
    after_largest: Float[np.ndarray, " k"]
    special: Float[np.ndarray, " k"]
    outliers: Float[np.ndarray, " k"]
    published: Float[np.ndarray, " k"]
    block: int
    where: Float[np.ndarray, "ph pw"]


def token_norms(
    before: Float[np.ndarray, "k n"],
    after: Float[np.ndarray, "k n"],
    grid: tuple[int, int],
) -> TokenNorms:
    """Return statistics of norms as `probe` gives them.

    Args:
        before, after: of all tokens, the special ones first.
        grid: rows and columns of the patches.
    """
    count = grid[0] * grid[1]
    special, before, after = before[:, :-count], before[:, -count:], after[:, -count:]
    median = np.median(before, axis=1)
    outliers = (before > OUTLIER * median[:, None]).mean(1)
    block = int(np.argmax(outliers)) if outliers.any() else len(before) - 1
    return TokenNorms(
        median=median,
        p99=np.percentile(before, 99, axis=1),
        largest=before.max(1),
        after_median=np.median(after, axis=1),
        after_p99=np.percentile(after, 99, axis=1),
        after_largest=after.max(1),
        special=special.max(1) if special.size else np.full(len(before), np.nan),
        outliers=outliers,
        published=(before > PUBLISHED).mean(1),
        block=block,
        where=(before[block] / max(median[block], 1e-30)).reshape(grid),
    )
