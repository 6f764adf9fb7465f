"""The resize of one axis as a program's argument: a few coefficients for each output.

The matrix of a resize is nearly empty: an output draws on four neighbouring inputs, or
on as many as Pillow averages. Those few are what a program is given, and it makes the
matrix where it multiplies: both ways of a photo of 1920 x 1080 are 90 kB, not 19 MB.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32

from jax_depth._typing import Array, Float32


class AxisWeights(NamedTuple):
    """What n outputs draw on: `weight[..., i, k]` of input `first[..., i] + k`.

    Both may have an axis of the batch in front. Inputs behind the last have weight 0.
    """

    first: Int32[Array, "*b n"] | Int32[np.ndarray, "*b n"]
    weight: Float32[Array, "*b n k"] | Float[np.ndarray, "*b n k"]


def axis_weights(matrix: Float[np.ndarray, "n i"], least: int = 1) -> AxisWeights:
    """Return the weights of a matrix without the zeros around them.

    Args:
        matrix: of a resize along one axis.
        least: how many weights to keep of each output at least; more are rounded up to
            a power of two times this, so that many resizes have few shapes.
    """
    there = matrix != 0
    first = there.argmax(1)
    most = (matrix.shape[1] - there[:, ::-1].argmax(1) - first).max()
    count = int(most)
    if least > 1:
        count = least
        while count < most:
            count *= 2
    index = first[:, None] + np.arange(count)
    inside = index < matrix.shape[1]
    rows = np.arange(len(matrix))[:, None]
    weight = np.where(inside, matrix[rows, np.where(inside, index, 0)], 0)
    return AxisWeights(first.astype(np.int32), weight.astype(np.float32))


def matrix_of(axis: AxisWeights, inputs: int, outputs: int) -> Float32[Array, "*b o i"]:
    """Return the matrix of a resize, made in the program.

    Args:
        axis: the weights.
        inputs, outputs: its sizes; columns and rows beyond those of the resize are 0.
    """
    *batch, n, count = axis.weight.shape
    if batch:
        return jax.vmap(lambda one: matrix_of(one, inputs, outputs))(axis)
    rows, counted = jnp.arange(n), jnp.arange(count)
    index: Any = rows[:, None], axis.first[:, None] + counted[None]
    return jnp.zeros((outputs, inputs)).at[index].add(axis.weight, mode="drop")
