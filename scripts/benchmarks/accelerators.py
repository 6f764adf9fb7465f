"""Accelerators by name: how to describe one to the compiler, and its datasheet."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One chip.

    Attributes:
        name: as users write it, such as "v5e".
        title: as its maker writes it.
        platform: of jax, "tpu" or "cuda".
        memory: bytes of device memory on the datasheet.
        usable: bytes left for a program beside what the runtime keeps.
        flops: dense bfloat16 operations a second.
        bandwidth: bytes a second of device memory.
        source: where the rates are published.
        dollars_per_hour: an assumption, not a quotation; prices move.
    """

    name: str
    title: str
    platform: str
    memory: int
    usable: int
    flops: float
    bandwidth: float
    source: str
    dollars_per_hour: float


_GIB = 2**30

ACCELERATORS = {
    chip.name: chip
    for chip in (
        Accelerator(
            "v5e",
            "TPU v5e",
            "tpu",
            16 * _GIB,
            # What libtpu's own out-of-memory message counts against.
            int(15.75 * _GIB),
            197e12,
            819e9,
            "https://docs.cloud.google.com/tpu/docs/v5e",
            1.2,
        ),
        Accelerator(
            "v6e",
            "TPU v6e",
            "tpu",
            32 * _GIB,
            int(31.25 * _GIB),
            918e12,
            1638e9,
            "https://docs.cloud.google.com/tpu/docs/v6e",
            2.7,
        ),
        Accelerator(
            "h100",
            "H100 SXM",
            "cuda",
            80 * 10**9,
            # Without a CUDA context and the allocator's fragmentation.
            72 * 10**9,
            # Half of the sheet's figure, which counts structured sparsity.
            989.4e12,
            3.35e12,
            "https://resources.nvidia.com/en-us-tensor-core (H100 datasheet)",
            3.0,
        ),
    )
}


def topology_arguments(name: str) -> dict[str, Any]:
    """Return what `jax.experimental.topologies.get_topology_desc` takes.

    Args:
        name: an accelerator and how many: "v5e:1x1", "v5e:2x2", "v6e:4x4" chips in a
            torus, "h100:4" in one host.

    Raises:
        ValueError: the name is not of that form.
    """
    kind, _, layout = name.partition(":")
    try:
        sides = [int(side) for side in layout.split("x")]
        chip = ACCELERATORS[kind]
        if len(sides) != (2 if chip.platform == "tpu" else 1) or min(sides) < 1:
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError(
            f"{name!r} is not a topology; name a chip of {', '.join(ACCELERATORS)} and "
            "how many of them, such as v5e:2x2 or h100:4"
        ) from None
    if chip.platform == "cuda":
        return {
            "platform": "cuda",
            "topology_name": kind,
            # Partitions (NVLink domains) x hosts x devices per host.
            "topology": f"1x1x{sides[0]}",
            "target_config": _H100,
        }
    arguments: dict[str, Any] = {"platform": "tpu", "topology_name": name}
    if sides == [1, 1]:
        # A host has 2x2 chips by default, and a slice consists of whole hosts.
        arguments["chips_per_host_bounds"] = (1, 1, 1)
    return arguments


# What CUDA reports of an H100 SXM with 80 GB (compute capability 9.0), in the words of
# XLA's GpuTargetConfigProto (xla/stream_executor/device_description.proto). Nothing is
# tuned without a device at hand; a real one picks other algorithms.
_H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 8 patch: 0 }
runtime_version { major: 12 minor: 8 patch: 0 }
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352000000000
  device_memory_size: 80000000000
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
"""
