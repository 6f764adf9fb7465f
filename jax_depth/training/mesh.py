"""Devices as data x fsdp: which holds which part of a batch and of a parameter.

A batch is split over both axes. A large parameter, its average and its optimiser
state are split over "fsdp" along their longest axis that divides; the rest is on every
device. The activations are constrained to the batch's split, or the partitioner would
move them around: 12 GiB a chip instead of 2.3 for the large model.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jax_depth.models.dpt import DPTHead, FusionBlock, ResidualConvUnit
from jax_depth.models.layers import Block, Conv, LayerNorm, UpConv

AXES = ("data", "fsdp")
# Modules whose results are held: every block of the encoder, every stage of the head.
_HELD = (Block, LayerNorm, Conv, UpConv, ResidualConvUnit, FusionBlock, DPTHead)


def make_mesh(fsdp: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """Return devices, all of all processes by default, as a (data, fsdp) mesh.

    Raises:
        ValueError: the number of devices is not a multiple of `fsdp`.
    """
    devices = jax.devices() if devices is None else devices
    count = len(devices)
    if fsdp < 1 or count % fsdp:
        raise ValueError(
            f"run.fsdp={fsdp} does not divide the {count} devices; use a divisor of "
            "that number"
        )
    shape = (count // fsdp, fsdp)
    # Chips in a torus may have to be split within one of its directions, as 2 of 4,
    # which jax.make_mesh refuses. CPU devices have no positions.
    placed = mesh_utils.create_device_mesh(
        shape, devices, allow_split_physical_axes=True
    )
    # Linen fails under explicit axes.
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return how arrays with a leading batch axis are split."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def state_shardings(tree: Any, mesh: Mesh, shard_above: int) -> Any:
    """Return the sharding of every leaf of a state, from its shape alone.

    Args:
        tree: arrays or anything with a shape.
        mesh: see `make_mesh`.
        shard_above: elements from which a leaf is split.
    """

    def sharding(leaf) -> NamedSharding:
        shape, parts = np.shape(leaf), mesh.shape["fsdp"]
        axes = sorted(range(len(shape)), key=lambda i: -shape[i])
        axes = [i for i in axes if shape[i] % parts == 0]
        if parts == 1 or np.prod(shape) < shard_above or not axes:
            return NamedSharding(mesh, PartitionSpec())
        spec: list[str | None] = [None] * len(shape)
        spec[axes[0]] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(sharding, tree)


def place(tree: Any, shardings: Any) -> Any:
    """Return host arrays, the same on every process, as global arrays."""

    def put(leaf, sharding):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda i: leaf[i])

    return jax.tree.map(put, tree, shardings)


def split(tree: Any, mesh: Mesh) -> Any:
    """Return each process's rows of a batch as global arrays."""
    sharding = batch_sharding(mesh)

    def put(leaf):
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(put, tree)


@contextlib.contextmanager
def held_activations(mesh: Mesh) -> Iterator[None]:
    """A context in which a network's activations are split as its batch is.

    Kernels opaque to XLA are given the mesh too.
    """
    sharding = batch_sharding(mesh)

    def hold(x):
        return jax.lax.with_sharding_constraint(x, sharding)

    def intercept(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and isinstance(context.module, _HELD):
            return jax.tree.map(hold, result)
        return result

    with (
        jax.sharding.use_abstract_mesh(mesh.abstract_mesh),
        nn.intercept_methods(intercept),
    ):
        yield
