"""`load` and `Estimator`: pictures of any size in, depth maps of the same size out."""

import collections
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, cast, overload

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from PIL.Image import Image as Picture

from jax_depth._typing import Float32, Params
from jax_depth.config import Dtype, ModelConfig, Resample
from jax_depth.inference.depth_map import DepthMap, MapKind
from jax_depth.inference.image import read_image
from jax_depth.inference.preprocess import preprocess
from jax_depth.inference.resample import resize_bilinear
from jax_depth.weights import load_params

# (config, params, pixels) on the devices -> a program of (params, pixels).
Compile = Callable[
    [ModelConfig, Params, jax.Array], Callable[[Params, jax.Array], jax.Array]
]

_MAX_COMPILED = 32  # executables kept; the one unused longest goes first


def load(
    name: str | os.PathLike,
    dtype: Dtype = "float32",
    size: int | None = None,
    resample: Resample | None = None,
    *,
    model: str | ModelConfig | None = None,
    batch_size: int | None = None,
    devices: Sequence[Any] | None = None,
) -> "Estimator":
    """Load a model by name or from a file, ready to be called with pictures.

    Args:
        name: "tiny", which is bundled; a published name, see `MODELS`; a native or
            transformers directory; a `.safetensors` or `.pth` file, together with
            `model`.
        dtype: "float32", or "bfloat16" for matrix products and convolutions.
        size: short side in pixels pictures are processed at; by default the
            model's own, 518 for Depth Anything. Larger gives finer detail.
        resample: "original" preprocesses as the authors' code, "transformers" as
            transformers' processor; by default the model's own, "original" for
            every published one.
        model: which model a bare weight file holds.
        batch_size, devices: see `Estimator`.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: as `load_params`, in one
            sentence with the remedy.
    """
    params, config = load_params(name, model=model, dtype=dtype)
    return Estimator(
        params,
        config,
        size=size,
        resample=resample,
        batch_size=batch_size,
        devices=devices,
    )


class Estimator:
    """A model with its parameters on the devices and its compiled programs.

    Pictures are grouped by the exact size they are processed at, because padding
    one would change its depth. Each (batch, height, width) is compiled once;
    batches are filled up to a power of two, so a size costs at most
    log2(batch_size) + 1 compilations.

    Attributes:
        params: plain nested dict of arrays, replicated on all devices.
        config: the model.
        size: short side in pixels pictures are processed at.
        resample: "original" or "transformers".
        batch_size: pictures of one size that are run together.
        compile: what makes the program of a new size, `compile_forward` unless
            replaced by one that keeps programs, see `jax_depth.deploy.executable`.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        *,
        size: int | None = None,
        resample: Resample | None = None,
        batch_size: int | None = None,
        devices: Sequence[Any] | None = None,
    ):
        """Place parameters on the devices.

        Args:
            params: plain nested dict.
            config: the model; must have a head.
            size: short side in pixels; None for the model's own.
            resample: which published preprocessing; None for the model's own.
            batch_size: None for 1 per CPU device and 8 per GPU or TPU.
            devices: None for all local devices; several share a batch.

        Raises:
            ValueError: a bare encoder, an unknown `resample`, a size or batch
                size below 1.
        """
        if config.head is None:
            raise ValueError(
                f"model {config.name!r} is a bare encoder and predicts no depth; use "
                "jax_depth.load_params and jax_depth.features"
            )
        devices = list(devices or jax.local_devices())
        self._first = jax.sharding.SingleDeviceSharding(devices[0])
        if batch_size is None:
            batch_size = len(devices) * (1 if devices[0].platform == "cpu" else 8)
        size = config.image_size if size is None else size
        if size < 1 or batch_size < 1:
            raise ValueError(
                f"size {size} and batch size {batch_size} must be positive"
            )
        resample = config.resample if resample is None else resample
        if resample not in ("original", "transformers"):
            raise ValueError(
                f"resample {resample!r} is unknown; use 'original' or 'transformers'"
            )
        self.config, self.size = config, size
        self.resample: Resample = resample
        self.batch_size = batch_size
        # Auto axes: Linen fails under jax.make_mesh's explicit default.
        mesh = Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec("data"))
        self.params = jax.device_put(dict(params), self._replicated)
        self.compile: Compile = compile_forward
        self._compiled: collections.OrderedDict = collections.OrderedDict()

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[DepthMap]: ...
    @overload
    def __call__(
        self, images: str | os.PathLike | Picture | np.ndarray | jax.Array
    ) -> DepthMap: ...
    def __call__(self, images: Any) -> Any:
        """Predict depth for one picture, or for a list of pictures of any sizes.

        Args:
            images: a path, a PIL image, or an array (h, w, 3) RGB, uint8 or float
                in [0, 1] (see `read_image` for everything else that is taken); or a
                list or tuple of those.

        Returns:
            A `DepthMap` at the picture's own size, or a list of them in order.

        Raises:
            FileNotFoundError, ValueError, OSError: a picture cannot be read; the
                message names it. Pictures are read before the first is computed
                on, so no result is lost.
        """
        if not isinstance(images, (list, tuple)):
            return self([images])[0]
        groups: dict[tuple[int, int], list[int]] = {}
        prepared = []
        for i, image in enumerate(images):
            pixels, shape = self._prepare(image)
            prepared.append((pixels, shape))
            groups.setdefault(pixels.shape[1:3], []).append(i)

        maps: list[DepthMap | None] = [None] * len(images)
        running = None
        for members in groups.values():
            for start in range(0, len(members), self.batch_size):
                batch = members[start : start + self.batch_size]
                pixels = np.concatenate([prepared[i][0] for i in batch])
                shapes = [prepared[i][1] for i in batch]
                # One batch computes while the previous is brought back.
                dispatched = batch, shapes, self.run(pixels)
                if running is not None:
                    self._collect(running, maps)
                running = dispatched
        if running is not None:
            self._collect(running, maps)
        return maps

    def run(self, pixels: Float32[np.ndarray, "b h w 3"]) -> jax.Array:
        """Run preprocessed pixels: (b, h, w, 3) -> (b, h, w) float32, on the devices.

        Compiled once for each batch size, rounded up to a power of two, and picture
        size. Returns without waiting for the result.
        """
        count = len(pixels)
        params, sharding, padded = self._placement(count)
        if padded > count:
            # Filled with copies: images do not influence each other.
            fill = np.broadcast_to(pixels[-1:], (padded - count, *pixels.shape[1:]))
            pixels = np.concatenate([pixels, fill])
        placed = jax.device_put(pixels, sharding)
        result = self._program(params, placed)(params, placed)
        return result if padded == count else result[:count]

    @property
    def compilations(self) -> int:
        """How many programs are compiled and kept, at most 32."""
        return len(self._compiled)

    def _prepare(self, image):
        array = read_image(image)
        label = os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
        pixels = preprocess(
            array, self.config, size=self.size, resample=self.resample, name=label
        )
        return pixels, array.shape[:2]

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

    def _program(self, params, pixels):
        key = pixels.shape
        if key in self._compiled:
            self._compiled.move_to_end(key)
            return self._compiled[key]
        program = self.compile(self.config, params, pixels)
        self._compiled[key] = program
        if len(self._compiled) > _MAX_COMPILED:
            self._compiled.popitem(last=False)
        return program

    def _collect(self, dispatched, maps: list) -> None:
        batch, shapes, result = dispatched
        for i, shape, values in zip(batch, shapes, np.asarray(result), strict=True):
            maps[i] = self._depth_map(values, shape)

    def _depth_map(self, values, shape: tuple[int, int]) -> DepthMap:
        return DepthMap(
            resize_bilinear(values, shape),
            kind=cast(MapKind, self.config.kind),  # a head never has "features"
            unit="m" if self.config.kind == "metric_depth" else None,
            model=self.config.name,
            max_depth=self.config.max_depth,
        )

    def __repr__(self) -> str:
        return (
            f"Estimator({self.config.name}, {self.config.kind}, size {self.size}, "
            f"{self.config.dtype})"
        )


def compile_forward(
    config: ModelConfig, params: Params, pixels: Float32[jax.Array, "b h w 3"]
) -> Callable[[Params, jax.Array], jax.Array]:
    """Return `forward` of a model, compiled for arguments like these.

    Args:
        config: the model.
        params: nested dict of arrays on the devices.
        pixels: (b, h, w, 3) on the devices.
    """
    # Late: a process that loads its programs from files does without Flax.
    from jax_depth.models.depth_anything import forward

    function = jax.jit(functools.partial(forward, config=config))
    return function.lower(params, pixels).compile()


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
