"""What a network that several devices share needs: a mesh, its parameters, an exchange.

Views and frames are shared out evenly. What looks at all views gathers them
(`sharded_views`); what looks along time at each position of all frames exchanges frames
for positions and back (`temporal`), so no device ever has the whole of a clip.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jax_depth._typing import Array, Float, Params


def mesh_for(count: int, devices: Sequence[Any], axis: str) -> Mesh:
    """Return a mesh of as many devices as share out `count` views or frames evenly.

    None is made up to fill a device: attention would see it.
    """
    size = max(n for n in range(1, len(devices) + 1) if count % n == 0)
    return Mesh(np.array(devices[:size]), (axis,), axis_types=(AxisType.Auto,))


def mesh_of(params: Params, count: int, axis: str) -> Mesh | None:
    """Return `mesh_for` of the devices that hold parameters; None of a single one."""
    leaf = jax.tree.leaves(params)[0]
    if not isinstance(leaf, jax.Array) or len(leaf.sharding.device_set) == 1:
        return None
    devices = sorted(leaf.sharding.device_set, key=lambda device: device.id)
    mesh = mesh_for(count, devices, axis)
    return mesh if mesh.size > 1 else None


def everywhere(params: Params, mesh: Mesh) -> Params:
    """Return parameters on every device of a mesh."""
    return jax.device_put(params, NamedSharding(mesh, PartitionSpec()))


def by_position(x: Float[Array, "b t p c"], axis: str) -> Array:
    """Exchange some frames at all positions for all frames at some positions.

    Inside `jax.shard_map`. Positions are filled up with zeros to share them out, which
    harms nothing where positions never see one another.
    """
    missing = -x.shape[2] % jax.lax.axis_size(axis)
    x = jnp.pad(x, ((0, 0), (0, 0), (0, missing), (0, 0)))
    return jax.lax.all_to_all(x, axis, split_axis=2, concat_axis=1, tiled=True)


def by_frame(x: Float[Array, "b t p c"], axis: str, positions: int) -> Array:
    """Undo `by_position` of that many positions."""
    x = jax.lax.all_to_all(x, axis, split_axis=1, concat_axis=2, tiled=True)
    return x[:, :, :positions]
