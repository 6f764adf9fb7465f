"""Compile programs for accelerators that this machine lacks, by topology name.

The compiler for TPUs is the package libtpu, which runs on any Linux machine; the one
for GPUs is in jax-cuda12-plugin. The results say what a program needs and exchanges,
and nothing about its speed or its numbers.
"""

import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.accelerators import topology_arguments
from jax_depth.config import ModelConfig
from jax_depth.models.depth_anything import forward, param_shapes
from jax_depth.models.initialize import init
from jax_depth.training import mesh as meshes
from jax_depth.training.objectives import objective
from jax_depth.training.optimizer import from_settings
from jax_depth.training.recipe import Recipe, frozen_prefixes
from jax_depth.training.start import model_config
from jax_depth.training.step import Batch, init_state, make_step

# Read by libtpu. Without the first, a second process that loads it dies at a lock file;
# without the others, it looks for chips in this machine and complains.
_QUIET = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}

# Without a GPU to time them on, no tile sizes are found for Triton's products: cuBLAS.
_OPTIONS: dict[str, Any] = {"cuda": {"xla_gpu_enable_triton_gemm": False}}


def absent_mesh(topology: str, fsdp: int = 1) -> Mesh:
    """Return a data x fsdp mesh of devices that only the compiler knows.

    Args:
        topology: such as "v5e:2x2", see `accelerators.topology_arguments`.
        fsdp: as in `training.mesh.make_mesh`.

    Raises:
        ValueError: an unknown name, `fsdp` does not divide the devices, or the
            compiler is not installed.
    """
    arguments = topology_arguments(topology)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        description = topologies.get_topology_desc(**arguments)
    except Exception as error:  # jaxlib's errors have no class in common
        package = {
            "tpu": "pip install 'jax_depth[aot]'",
            "cuda": "pip install jax-cuda12-plugin jax-cuda12-pjrt (jaxlib's version)",
        }
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"nothing here compiles for {topology} ({reason}); "
            f"{package[arguments['platform']]}"
        ) from None
    return meshes.make_mesh(fsdp, description.devices)


def compile_forward(
    config: ModelConfig, mesh: Mesh, batch: int, size: int
) -> jax.stages.Compiled:
    """Compile `forward`, the batch split over a mesh, parameters on every device.

    Args:
        config: the model.
        mesh: see `absent_mesh`.
        batch: pictures of all devices together.
        size: side in pixels.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    params = jax.tree.map(
        functools.partial(_abstract, sharding=everywhere), param_shapes(config)
    )
    pixels = jax.ShapeDtypeStruct(
        (batch, size, size, 3), jnp.float32, sharding=meshes.batch_sharding(mesh)
    )
    program = jax.jit(functools.partial(forward, config=config))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return _compiled(program, mesh, params, pixels)


def compile_train(recipe: Recipe, mesh: Mesh) -> jax.stages.Compiled:
    """Compile the training step that `training.loop` would run on a mesh.

    Args:
        recipe: the run; its data are pictures with measured depth.
        mesh: see `absent_mesh`.

    Raises:
        ValueError: settings that contradict each other or do not suit the mesh.
    """
    config = model_config(recipe)
    optimizer = from_settings(recipe.optimizer, recipe.run.steps, config)

    def first():
        params = init(config, jax.random.key(0))
        return init_state(params, optimizer, frozen_prefixes(recipe.model))

    state = jax.eval_shape(first)
    shardings = meshes.state_shardings(state, mesh, recipe.run.shard_above)
    step = make_step(
        config,
        optimizer,
        objective(recipe.loss, config, ("labelled",)),
        recipe.optimizer.average,
        accumulate=recipe.optimizer.accumulate,
        context=lambda: meshes.held_activations(mesh),
        shardings=shardings,
    )
    rows, side = recipe.data.batch // recipe.optimizer.accumulate, recipe.data.size
    if rows % mesh.size:
        raise ValueError(
            f"{rows} pictures cannot be shared equally by {mesh.size} devices"
        )
    split = meshes.batch_sharding(mesh)

    def struct(shape, dtype) -> Any:
        return jax.ShapeDtypeStruct((rows, *shape), dtype, sharding=split)

    batch = Batch(
        rgb=struct((side, side, 3), jnp.uint8),
        target=struct((side, side), jnp.float32),
        mask=struct((side, side), jnp.bool_),
        pseudo=struct((), jnp.bool_),
    )
    state = jax.tree.map(_abstract, state, shardings)
    return _compiled(step, mesh, state, batch)


def _abstract(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _compiled(program: Any, mesh: Mesh, *arguments: Any) -> jax.stages.Compiled:
    # A CUDA device calls itself "gpu", a name that lowering knows only with a GPU.
    platform = mesh.devices.flat[0].platform.replace("gpu", "cuda")
    traced = program.trace(*arguments)
    return traced.lower(lowering_platforms=(platform,)).compile(_OPTIONS.get(platform))
