"""Values of an OpenVINO graph: nodes that remember the order of their axes.

The network is channels-last, OpenVINO's convolutions are channels-first. A value
therefore remembers in which order its node keeps the axes, and is transposed only
where an operator needs another order.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import openvino as ov
from openvino import opset13 as ops


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known only when the graph runs.

    Attributes:
        node: an operator's output.
        order: axis i of the JAX array is axis order[i] of the node.
    """

    node: Any
    order: tuple[int, ...]

    @property
    def plain(self) -> Any:
        """The node with the axes in JAX's order."""
        return self.kept(tuple(range(len(self.order))))

    def kept(self, order: tuple[int, ...]) -> Any:
        """The node with JAX's axis i as its axis order[i]."""
        if order == self.order:
            return self.node
        permutation = [0] * len(order)
        for mine, wanted in zip(self.order, order, strict=True):
            permutation[wanted] = mine
        return ops.transpose(self.node, integers(permutation))


def plain_tensor(node: Any) -> Tensor:
    rank = len(node.output(0).get_shape())
    return Tensor(node, tuple(range(rank)))


def integers(values: Sequence[SupportsIndex]) -> Any:
    return ops.constant(np.asarray(values, np.int64))


def constant(array: np.ndarray) -> Any:
    """Return a node that shares the array's memory where that is contiguous."""
    array = np.ascontiguousarray(array)
    if not array.flags.writeable:
        # OpenVINO takes no read-only array, though it writes into none either.
        array = np.asarray(_Writeable(array))
    return ov.op.Constant(array, shared_memory=True)


class _Writeable:
    """The memory of a read-only array, offered as writeable; keeps it alive."""

    def __init__(self, array: np.ndarray):
        self._array = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
