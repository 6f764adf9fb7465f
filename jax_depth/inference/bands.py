"""Separable resizes on the host, as products of small matrices.

A resize is a sparse matrix for the rows and one for the columns: each output draws
on a few neighbouring inputs. Neighbouring outputs draw on nearly the same inputs, so
a few of them together are a small dense matrix, and BLAS multiplies those many times
faster than NumPy gathers. Channels that lie side by side are multiplied at once by a
matrix that has each weight on a diagonal.

The products are kept small enough that OpenBLAS does not split them among threads of
its own: pictures are prepared in several threads already.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int64, Shaped

# (inputs, outputs) -> index and weight, (taps, outputs), of what each output draws on.
Kernel: TypeAlias = Callable[
    [int, int], tuple[Int64[np.ndarray, "taps n"], Float[np.ndarray, "taps n"]]
]


class _Bands(NamedTuple):
    """An axis cut into bands of consecutive outputs.

    Attributes:
        needed: inputs that are drawn on, of which the others count; None for all.
        band: (first output, last, first input, end), each.
        weight: (bands, outputs, inputs), or (bands, inputs, outputs) of the columns.
    """

    needed: Int64[np.ndarray, " n"] | None
    band: list[tuple[int, int, int, int]]
    weight: Float[np.ndarray, "n i o"]


# Bytes of an intermediate result that stay in a core's second cache.
_CACHED = 1 << 20
# Rows of one product, above which OpenBLAS would use threads.
_ROWS = 1024
# Outputs a band, below, are what was fastest from 480p and from 1080p to 518 and back
# (CPU time on an Xeon with AVX512): more mean fewer calls and more zeros.


def resize(
    image: Shaped[np.ndarray, "h w c"],
    kernel: Kernel,
    size: tuple[int, int],
    dtype: type = np.float64,
    scale: tuple[float, ...] | None = None,
    offset: tuple[float, ...] | None = None,
    result: type | None = None,
) -> Float[np.ndarray, "h2 w2 c"]:
    """Return scale * (image resized) + offset.

    Args:
        image: pixels or maps of any real type.
        kernel: what is drawn on.
        size: (rows, columns) of the result.
        dtype: float64 or float32; computed in.
        scale, offset: per channel; none by default.
        result: type of the result; `dtype` by default.
    """
    height, width, channels = image.shape
    rows = _rows(kernel, height, size[0], dtype, channels > 1)
    columns = _columns(kernel, width, size[1], scale or (1.0,) * channels, dtype)
    flat = image.reshape(height, width * channels)
    if rows.needed is not None:
        flat = flat[rows.needed]
    made = np.empty((size[0], size[1] * channels), result or dtype)
    shift = None if offset is None else np.tile(np.array(offset, dtype), size[1])
    # Strips of columns as tall as the result, which the second product reads while
    # they are cached, in groups of rows.
    per_band = width * channels * np.dtype(dtype).itemsize / len(columns.band)
    strip = max(8, int(_CACHED / (per_band * min(size[0], _ROWS))))
    group = max(1, _ROWS // rows.band[0][1])
    for i in range(0, len(rows.band), group):
        top, bottom = rows.band[i][0], rows.band[i : i + group][-1][1]
        for j in range(0, len(columns.band), strip):
            left = columns.band[j][2]
            start, stop = columns.band[j][0], columns.band[j : j + strip][-1][1]
            right = columns.band[j : j + strip][-1][3]
            tall = _downwards(flat[:, left:right], rows, i, i + group, dtype)
            target = made[top:bottom, start:stop]
            same = made.dtype == dtype
            whole = target if same else np.empty(target.shape, dtype)
            _across(tall, columns, j, j + strip, whole)
            if shift is not None:
                whole += shift[start:stop]
            if not same:
                target[...] = whole
    return made.reshape(*size, channels)


def _downwards(
    strip: np.ndarray, rows: _Bands, first: int, last: int, dtype: type
) -> np.ndarray:
    """Return the outputs of some bands of rows from a strip of the picture."""
    bands, weights = rows.band[first:last], rows.weight[first:last]
    top = bands[0][0]
    made = np.empty((bands[-1][1] - top, strip.shape[1]), dtype)
    # Bands overlap, so their inputs are converted a few bands at a time.
    for i in range(0, len(bands), 4):
        origin, end = bands[i][2], bands[i : i + 4][-1][3]
        source = _converted(strip[origin:end], dtype)
        for (a, b, start, stop), weight in zip(
            bands[i : i + 4], weights[i : i + 4], strict=True
        ):
            part = source[start - origin : stop - origin]
            np.matmul(weight[: b - a], part, out=made[a - top : b - top])
    return made


def _across(
    tall: np.ndarray, columns: _Bands, first: int, last: int, out: np.ndarray
) -> None:
    """Write the outputs of some bands of columns."""
    bands, weights = columns.band[first:last], columns.weight[first:last]
    left, start = bands[0][2], bands[0][0]
    for (a, b, source, end), weight in zip(bands, weights, strict=True):
        part = tall[:, source - left : end - left]
        np.matmul(part, weight[:, : b - a], out=out[:, a - start : b - start])


def _converted(rows: np.ndarray, dtype: type) -> np.ndarray:
    if rows.dtype != np.uint8 or dtype != np.float64:
        return np.ascontiguousarray(rows, dtype)
    # By way of int32 it is a third faster: both steps are vector instructions.
    return rows.astype(np.int32).astype(np.float64)


@functools.lru_cache(maxsize=32)
def _rows(
    kernel: Kernel, inputs: int, outputs: int, dtype: type, shared: bool
) -> _Bands:
    index, weight = kernel(inputs, outputs)
    needed = np.unique(index)
    if len(needed) > 0.7 * inputs:
        needed = None
    else:
        index, inputs = np.searchsorted(needed, index), len(needed)
    per = 4 if dtype == np.float64 else 16 if shared else 32
    band, weights = _cut(index, weight, inputs, per)
    return _Bands(needed, band, weights.astype(dtype))


@functools.lru_cache(maxsize=32)
def _columns(
    kernel: Kernel, inputs: int, outputs: int, scale: tuple[float, ...], dtype: type
) -> _Bands:
    index, weight = kernel(inputs, outputs)
    channels, ratio = len(scale), inputs / outputs
    per = 2 if dtype == np.float64 else 4
    per = 1 if ratio > 3 else per if channels > 1 else 32
    band, weights = _cut(index, weight, inputs, per)
    count, outs, ins = weights.shape
    made = np.zeros((count, ins, channels, outs, channels), dtype)
    for channel, factor in enumerate(scale):
        made[:, :, channel, :, channel] = np.swapaxes(weights, 1, 2) * factor
    a, b, c, d = (np.array(band) * channels).T.tolist()
    wide = made.reshape(count, ins * channels, outs * channels)
    return _Bands(None, list(zip(a, b, c, d, strict=True)), wide)


def _cut(index: np.ndarray, weight: np.ndarray, inputs: int, per: int):
    """Return the bands of an axis, `per` outputs each, all of as many inputs."""
    outputs = index.shape[1]
    first = np.arange(0, outputs, per)
    last = np.minimum(first + per, outputs)
    source = np.minimum.reduceat(index.min(0), first)
    length = int((np.maximum.reduceat(index.max(0), first) + 1 - source).max())
    source = np.minimum(source, inputs - length)
    number, place = np.divmod(np.arange(outputs), per)
    weights = np.zeros((len(first), per, length))
    for at, value in zip(index, weight, strict=True):
        np.add.at(weights, (number, place, at - source[number]), value)
    columns = (x.tolist() for x in (first, last, source, source + length))
    return list(zip(*columns, strict=True)), weights
