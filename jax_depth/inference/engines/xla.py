"""XLA: every platform of JAX, one or several devices."""

import collections
import functools
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jax_depth._forked import check_process
from jax_depth._typing import Float32, Params
from jax_depth.config import ModelConfig
from jax_depth.models import architectures
from jax_depth.models.output import Output
from jax_depth.weights import rounded_kernels

# (config, params, pixels) on the devices -> a program of (params, pixels).
Compile = Callable[
    [ModelConfig, Params, jax.Array], Callable[[Params, jax.Array], jax.Array]
]

_MAX_COMPILED = 32  # executables kept; the one unused longest goes first


class XlaEngine:
    """Compiles `forward` per (batch, height, width) and splits batches over devices.

    Attributes:
        params: nested dict of arrays, replicated on all devices; under bfloat16 as
            `rounded_kernels` leaves them.
        batch_size: 1 per CPU device and 8 per GPU or TPU.
        compile: what makes the program of a new size, `compile_forward` unless
            replaced by one that keeps programs, see `engines.programs`.
    """

    def __init__(
        self, params: Params, config: ModelConfig, devices: Sequence[Any] | None = None
    ):
        check_process()
        if not isinstance(devices, Sequence | None) or not all(
            isinstance(device, jax.Device) for device in devices or ()
        ):
            named = repr(devices) if isinstance(devices, str) else ""
            raise ValueError(
                f"devices {devices!r:.80} are not devices; give those of "
                f"jax.devices({named})"
            )
        devices = list(devices or jax.local_devices())
        say_cost(config, devices[0])
        self._config = config
        self.batch_size = len(devices) * (1 if devices[0].platform == "cpu" else 8)
        self._first = jax.sharding.SingleDeviceSharding(devices[0])
        # Auto axes: Linen fails under jax.make_mesh's explicit default.
        mesh = Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec("data"))
        params = rounded_kernels(dict(params), config)
        self.params = jax.device_put(params, self._replicated)
        self.compile: Compile = compile_forward
        self._compiled: collections.OrderedDict = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def compilations(self) -> int:
        """How many programs are compiled and kept, at most 32."""
        return len(self._compiled)

    def run(
        self,
        pixels: Float32[np.ndarray, "b h w 3"],
        *prompt: Float32[np.ndarray, "b h2 w2"],
    ) -> jax.Array | Output:
        """Run pixels on the devices; returns without waiting for the result.

        Compiled once for each batch size, rounded up to a power of two, and picture
        size, and prompt size where the model takes a prompt.

        Raises:
            RuntimeError: in a forked child, see `_forked`.
        """
        check_process()
        count = len(pixels)
        params, sharding, padded = self._placement(count)
        inputs = [_padded(x, padded) for x in (pixels, *prompt)]
        placed = jax.device_put(inputs, sharding)
        result = self._program(params, placed)(params, *placed)
        if padded == count:
            return result
        return jax.tree.map(lambda leaf: leaf[:count], result)

    def _placement(self, count: int):
        """Return the parameters, the sharding and the padded size of a batch."""
        devices = self._split.num_devices
        if count == 1 or devices == 1:
            return self._single_params, self._first, _power_of_two(count)
        share = -(-count // devices)
        return self.params, self._split, _power_of_two(share) * devices

    @functools.cached_property
    def _single_params(self):
        """Parameters as the first device holds them; views, not copies."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), self.params)

    def _program(self, params, inputs):
        key = tuple(x.shape for x in inputs)
        with self._lock:
            if key in self._compiled:
                self._compiled.move_to_end(key)
                return self._compiled[key]
        # Outside the lock: a thread that has its program does not wait for another's.
        if len(inputs) == 1:
            program = self.compile(self._config, params, inputs[0])
        else:
            # Not kept in files, whose names know of the pixels' size alone.
            program = compile_prompted(self._config, params, *inputs)
        with self._lock:
            self._compiled[key] = program
            if len(self._compiled) > _MAX_COMPILED:
                self._compiled.popitem(last=False)
        return program


_SAID: set[str] = set()
# Of ViT-L at 518 on an H100, docs/accelerators.md; of a TPU its six passes for one.
_COST = {"gpu": (11, "3 times"), "tpu": (6, "2 times")}


def say_cost(config: ModelConfig, device: Any) -> None:
    """Say once on stderr what float32 costs on an accelerator, and what to ask for.

    Not where the caller has chosen what float32 products are computed in.
    """
    settings: Any = jax.config
    chosen = settings.jax_default_matmul_precision is not None
    if config.dtype != "float32" or chosen or device.platform not in _COST:
        return
    if device.platform in _SAID:
        return
    _SAID.add(device.platform)
    bfloat16, high = _COST[device.platform]
    print(
        f"float32 is computed exactly on {device.device_kind}: dtype='bfloat16' "
        f"(--dtype bfloat16) is up to {bfloat16} times as fast, "
        f"jax.default_matmul_precision('high') up to {high}",
        file=sys.stderr,
    )


def compile_forward(
    config: ModelConfig, params: Params, pixels: Float32[jax.Array, "b h w 3"]
) -> Callable[[Params, jax.Array], jax.Array]:
    """Return `forward` of a model, compiled for arguments like these.

    For a model that predicts more than depth, `apply_to_pictures`, which returns
    `Output`.

    Args:
        config: the model.
        params: nested dict of arrays on the devices.
        pixels: (b, h, w, 3) on the devices.
    """
    # Late: a process that loads its programs from files does without Flax.
    from jax_depth.models.depth_anything import apply_to_pictures, forward

    row = architectures.network_row(config)
    # Of models of clips a single picture is a clip of one frame.
    several = row.says or architectures.sees_clips(config)
    function = functools.partial(
        apply_to_pictures if several else forward, config=config
    )
    return _compiled(function, params, pixels)


def compile_prompted(
    config: ModelConfig,
    params: Params,
    pixels: Float32[jax.Array, "b h w 3"],
    prompt: Float32[jax.Array, "b h2 w2"],
) -> Callable[..., jax.Array]:
    """Return depth of a model with prompts, compiled for arguments like these."""
    from jax_depth.models.depth_anything import apply

    def function(params, pixels, prompt):
        return apply(params, pixels, config, prompt=prompt).depth

    return _compiled(function, params, pixels, prompt)


def _compiled(function, params, *inputs):
    pixels = inputs[0]
    (*others, device) = pixels.sharding.device_set
    if device.platform == "cpu" and not others and len(pixels) > 1:
        function = functools.partial(_one_by_one, function)
    # A kernel that is opaque to XLA must be given how devices share a batch.
    mesh = getattr(pixels.sharding, "mesh", None) or Mesh(
        np.array([device]), ("data",), axis_types=(AxisType.Auto,)
    )
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        lowered = jax.jit(function).lower(params, *inputs)
    return lowered.compile()


def _padded(x: np.ndarray, count: int) -> np.ndarray:
    """Pad a batch with copies of its last image: images do not affect each other."""
    if len(x) == count:
        return x
    return np.concatenate([x, np.broadcast_to(x[-1:], (count - len(x), *x.shape[1:]))])


def _one_by_one(function, params, *inputs):
    """Run a batch picture by picture.

    On a CPU a picture keeps every core busy, and its intermediate results fit the
    caches better than those of a batch: a twelfth less time, and the memory of one
    picture.
    """

    def run(one):
        result = function(params, *(x[None] for x in one))
        return jax.tree.map(lambda leaf: leaf[0], result)

    return jax.lax.map(run, inputs)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
