"""Views of one place over several devices: each has some of them.

Blocks of single views, head and cameras need nothing of the others. In a block that
looks at all views queries stay where they are, and keys and values are gathered: 2 d
numbers a token. The reference view is chosen from the class tokens of all.
"""

import functools
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from jax_depth._typing import Array, Float, Params
from jax_depth.config import ModelConfig
from jax_depth.models.depth_anything_3 import AnyViewDepth
from jax_depth.models.output import Output
from jax_depth.models.reference_view import Reference

AXIS = "views"


@functools.partial(jax.jit, static_argnames=("config", "mesh", "reference"))
def apply_sharded(
    params: Params,
    pixels: Float[Array, "b v h w 3"],
    config: ModelConfig,
    mesh: Mesh,
    extrinsics: Float[Array, "b v 4 4"] | None = None,
    intrinsics: Float[Array, "b v 3 3"] | None = None,
    reference: Reference = "saddle_balanced",
) -> Output:
    """Return `jax_depth.apply` of an any-view model, its views over a mesh.

    Args:
        params: on every device.
        pixels: as in `apply`; views in the mesh's order.
        config: the model.
        mesh: of one axis, "views", whose size divides v.
        extrinsics, intrinsics, reference: as in `apply`.
    """
    split, same = PartitionSpec(None, AXIS), PartitionSpec()
    cameras = (extrinsics, intrinsics)

    def run(params: Any, pixels: Any, cameras: Any) -> Output:
        network = AnyViewDepth(config, AXIS)
        output: Any = network.apply(
            {"params": params}, pixels, *cameras, reference, method="run"
        )
        return output[0]

    names = ("depth", "confidence", "extrinsics", "intrinsics", "rays")
    outputs: Any = dict.fromkeys((*names, "ray_confidence"), split)
    outputs["reference"] = same
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(same, split, same),
        out_specs=Output(**outputs),
        # What is gathered is the same everywhere, which the check does not see.
        check_vma=False,
    )(params, pixels, cameras)
