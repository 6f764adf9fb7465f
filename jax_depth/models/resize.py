"""Every resize inside the network: one axis after the other, with weights from NumPy.

The weights are built while tracing, so a resize is exact to the torch operator it
copies. They are applied as two matrix products, which suit a TPU's matrix units and
export to ONNX as MatMul; on CPUs and GPUs a bilinear resize gathers its two sources
instead, which is thirty times as fast on the former and moves a third of the bytes on
the latter.
`jax.image.resize` is never used: its cubic kernel has a = -0.5 where
`torch.nn.functional.interpolate` has a = -0.75, and it has no align_corners.

Source positions are computed in float32 because torch computes them so
(aten/src/ATen/native/UpSample.h, `area_pixel_compute_source_index`). Where sizes are
symbolic, `symbolic.py` builds the weights in the program.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth._typing import Array, Float, Float32
from jax_depth.models import symbolic
from jax_depth.models.forms import forms

_HIGHEST = jax.lax.Precision.HIGHEST


@functools.partial(jax.jit, static_argnums=(1, 2))
def resize_bilinear(
    x: Float[Array, "b h w c"], size: tuple[int, int], dtype: Any = jnp.float32
) -> Float32[Array, "b h2 w2 c"]:
    """Resize maps bilinearly with aligned corners.

    Equals `F.interpolate(x, size, mode="bilinear", align_corners=True)`.

    Args:
        x: maps of any floating type; computed in float32.
        size: (rows, columns) of the result, at least 1 each.
        dtype: under bfloat16, the model's, matrix units may round the maps to it, as
            the convolution that reads the result does; weights keep 16 bits.
    """
    return _resize_bilinear(x.astype(jnp.float32), size, jnp.dtype(dtype).name)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _resize_bilinear(x, size: tuple[int, int], dtype: str):
    if symbolic.is_symbolic(*x.shape[1:3], *size):
        weights = symbolic.bilinear_weights
    else:
        weights = bilinear_weights

    def gathered(x):
        return _interpolate(_interpolate(x, 2, size[1]), 1, size[0])

    def multiplied(x):
        rows = weights(x.shape[1], size[0])
        return _apply(x, rows, weights(x.shape[2], size[1]), dtype)

    names = ("cpu", "cuda", "rocm") if forms().gathered_resize else ("cpu",)
    branches = dict.fromkeys(names, gathered)
    return jax.lax.platform_dependent(x, **branches, default=multiplied)


def _bilinear_forward(x, size, dtype):
    return _resize_bilinear(x, size, dtype), x.shape[1:3]


def _bilinear_backward(size, dtype, shape, cotangent):
    # Products everywhere: the transpose of a gather is a slow scatter.
    rows = bilinear_weights(shape[0], size[0]).T
    columns = bilinear_weights(shape[1], size[1]).T

    def exact(cotangent):
        return _apply(cotangent, rows, columns)

    def rounded(cotangent):
        return _apply(cotangent, rows, columns, dtype)

    if dtype == "float32":
        return (exact(cotangent),)
    # A CPU's float32 products are as fast.
    return (jax.lax.platform_dependent(cotangent, cpu=exact, default=rounded),)


_resize_bilinear.defvjp(_bilinear_forward, _bilinear_backward)


def resize_half_pixel(
    x: Float[Array, "b h w c"], size: tuple[int, int]
) -> Float32[Array, "b h2 w2 c"]:
    """Resize maps bilinearly, pixel centres at halves, borders repeated.

    Equals `F.interpolate(x, size, mode="bilinear", align_corners=False)`: no low-pass,
    so that a map made smaller is sampled.

    Args:
        x, size: as in `resize_bilinear`.
    """
    rows = half_pixel_weights(x.shape[1], size[0])
    return _apply(x, rows, half_pixel_weights(x.shape[2], size[1]))


def resize_bicubic(
    x: Float[Array, "b h w c"],
    size: tuple[int, int],
    *,
    offset: float = 0.0,
    antialias: bool = False,
) -> Float32[Array, "b h2 w2 c"]:
    """Resize maps with torch's bicubic kernel, corners not aligned.

    Equals `F.interpolate(x, size, mode="bicubic", antialias=antialias)` for
    `offset` 0, and otherwise
    `F.interpolate(x, scale_factor=((rows + offset) / h, ...), mode="bicubic")`,
    which is how DINOv2 enlarges its position embedding
    (dinov2/models/vision_transformer.py, `interpolate_pos_encoding`).

    Args:
        x: maps of any floating type; computed in float32.
        size: (rows, columns) of the result.
        offset: added to the output size when the sampling step is computed.
        antialias: widen the kernel when shrinking, with a = -0.5 as torch does.

    Raises:
        ValueError: an offset together with antialiasing.
    """
    known: Any = not symbolic.is_symbolic(*x.shape[1:3], *size)
    if antialias:
        if offset:
            raise ValueError(
                f"an antialiased resize takes no position offset, got {offset}; "
                "set position_offset to 0.0"
            )
        make: Any = antialiased_weights if known else symbolic.antialiased_weights
    else:
        make = bicubic_weights if known else symbolic.bicubic_weights
        make = functools.partial(make, offset=offset)
    return _apply(x, make(x.shape[1], size[0]), make(x.shape[2], size[1]))


@functools.lru_cache(maxsize=256)
def bilinear_weights(n_in: int, n_out: int) -> np.ndarray:
    """Return the (n_out, n_in) float32 matrix of align-corners interpolation."""
    low, high, fraction = _neighbours(n_in, n_out)
    return _scatter(n_in, [(low, 1 - fraction), (high, fraction)])


@functools.lru_cache(maxsize=256)
def half_pixel_weights(n_in: int, n_out: int) -> np.ndarray:
    """Return the (n_out, n_in) float32 matrix of bilinear resizing from centres."""
    step = np.float32(n_in) / np.float32(n_out)
    # Rounded once, as in `bicubic_weights`.
    exact = np.float64(step) * (np.arange(n_out) + 0.5) - 0.5
    position = np.maximum(exact.astype(np.float32), np.float32(0))
    low = np.minimum(position.astype(int), n_in - 1)
    high = np.minimum(low + 1, n_in - 1)
    fraction = position - low.astype(np.float32)
    return _scatter(n_in, [(low, 1 - fraction), (high, fraction)])


def _neighbours(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both sources of each output of align-corners, and the second's weight."""
    step = np.float32(n_in - 1) / np.float32(n_out - 1) if n_out > 1 else np.float32(0)
    position = step * np.arange(n_out, dtype=np.float32)
    low = np.minimum(np.floor(position).astype(int), n_in - 1)
    high = np.minimum(low + 1, n_in - 1)
    return low, high, position - low.astype(np.float32)


def _interpolate(x, axis: int, n_out: int):
    """Resize one axis bilinearly by gathering the two sources of each output."""
    if x.shape[axis] == n_out:
        return x
    n_in = x.shape[axis]
    if symbolic.is_symbolic(n_in, n_out):
        low, high, fraction = symbolic.neighbours(n_in, n_out)
    else:
        low, high, fraction = _neighbours(n_in, n_out)
    before = (slice(None),) * axis

    def gather(index):
        source = x.at[(*before, index)]
        return source.get(mode="promise_in_bounds", indices_are_sorted=True)

    weight = fraction.reshape(-1, *(1,) * (x.ndim - axis - 1))[(None,) * axis]
    return gather(low) * (1 - weight) + gather(high) * weight


@functools.lru_cache(maxsize=256)
def bicubic_weights(n_in: int, n_out: int, offset: float) -> np.ndarray:
    """Return the (n_out, n_in) float32 matrix of torch's cubic, a = -0.75."""
    step = np.float32(n_in / (n_out + offset))
    # Rounded once, as the fused multiply-add of torch's vector code does.
    exact = np.float64(step) * (np.arange(n_out) + 0.5) - 0.5
    position = exact.astype(np.float32)
    low = np.floor(position)
    fraction = (position - low).astype(np.float64)
    taps = []
    for shift in (-1, 0, 1, 2):
        index = np.clip(low.astype(int) + shift, 0, n_in - 1)
        taps.append((index, _cubic(fraction - shift, -0.75)))
    return _scatter(n_in, taps)


@functools.lru_cache(maxsize=256)
def antialiased_weights(n_in: int, n_out: int) -> np.ndarray:
    """Return the (n_out, n_in) float32 matrix of torch's antialiased cubic."""
    step = n_in / n_out
    stretch = max(step, 1.0)
    centre = step * (np.arange(n_out) + 0.5)
    # As in Pillow: sources whose centre lies within the stretched support.
    first = np.maximum(np.floor(centre - 2 * stretch + 0.5), 0)[:, None]
    last = np.minimum(np.floor(centre + 2 * stretch + 0.5), n_in)[:, None]
    source = np.arange(n_in)[None, :]
    weights = _cubic((source - centre[:, None] + 0.5) / stretch, -0.5)
    weights = np.where((source >= first) & (source < last), weights, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _apply(x, rows, columns, dtype: str = "float32"):
    y = x.astype(jnp.float32)
    if not _is_identity(rows):
        y = _multiply("ih,bhwc->biwc", rows, y, dtype)
    if not _is_identity(columns):
        y = _multiply("jw,bhwc->bhjc", columns, y, dtype)
    return y


def _multiply(equation: str, weights, x, dtype: str) -> Float32[Array, "b h w c"]:
    """Apply weights in float32, or in two parts of `dtype` to maps rounded to it.

    Float32 at full precision takes a TPU's units six passes, two parts take two.
    """
    if dtype == "float32":
        return jnp.einsum(equation, weights, x, precision=_HIGHEST)
    product = functools.partial(
        jnp.einsum, equation, preferred_element_type=jnp.float32
    )
    x, weights = x.astype(dtype), jnp.asarray(weights)
    high = weights.astype(dtype)
    low = (weights - high.astype(jnp.float32)).astype(dtype)
    return product(high, x) + product(low, x)


def _is_identity(weights) -> bool:
    if not isinstance(weights, np.ndarray):
        return False
    n_out, n_in = weights.shape
    return n_out == n_in and bool((weights == np.eye(n_in, dtype=np.float32)).all())


def _scatter(n_in: int, taps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Sum (index, weight) pairs of each output row into a dense matrix."""
    n_out = len(taps[0][0])
    matrix = np.zeros((n_out, n_in), np.float64)
    for index, weight in taps:
        np.add.at(matrix, (np.arange(n_out), index), weight)
    return matrix.astype(np.float32)


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel (1981)."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
