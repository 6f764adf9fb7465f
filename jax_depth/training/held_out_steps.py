"""The three steps of a held-out picture, on all devices of a process."""

import collections
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float32, UInt8

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.inference.preprocess import (
    from_network,
    processing_size,
    served,
    to_network,
)
from jax_depth.models.depth_anything import apply

_apply = jax.jit(apply, static_argnums=2)


class Sizes:
    """The sizes at which a network is shown pictures: a program is compiled for each.

    Args:
        found: (rows, columns) of every picture at the network.

    Attributes:
        kept: the most frequent ones.
        others: pictures of another size.
    """

    MOST = 8

    def __init__(self, found: Sequence[tuple[int, int]]):
        counts = collections.Counter(found)
        ranked = sorted(counts, key=lambda size: (-counts[size], size))
        self.kept = ranked[: self.MOST]
        self.others = sum(counts[size] for size in ranked[self.MOST :])

    def nearest(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size itself if it is kept, else the one of the nearest shape."""
        if size in self.kept or not self.kept:
            return size
        shape = math.log(size[0] / size[1])
        return min(self.kept, key=lambda kept: abs(math.log(kept[0] / kept[1]) - shape))


class Steps:
    """What `inference.stream` needs; a picture on each device.

    Args:
        params: nested, on the host or as `replicated` returns them.
        config: of the model.
        side: short side in pixels the network sees.
        devices: of this process; all of them by default.

    Attributes:
        seen: the model as it serves pictures at that size.
        sizes: that are allowed; None for each picture's own.
        batch_size: pictures that are run together.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        side: int,
        devices: Sequence[Any] | None = None,
    ):
        self.seen = served(config, side)
        self.sizes: Sizes | None = None
        mesh = _mesh(devices)
        self.batch_size = mesh.size
        self._abstract = mesh.abstract_mesh
        self._split = NamedSharding(mesh, PartitionSpec("data"))
        self._params = replicated(params, devices)

    def own_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns at the network of a picture of some shape."""
        patch = self.seen.encoder.patch_size
        return processing_size(*shape, self.seen.image_size, patch, self.seen.resample)

    def size_of(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the size at which a picture of some shape is shown."""
        own = self.own_size(shape)
        return own if self.sizes is None else self.sizes.nearest(own)

    def prepare(
        self, picture: UInt8[np.ndarray, "h w 3"], *, name: str | None = None
    ) -> Float32[np.ndarray, "1 h2 w2 3"]:
        """Return a picture as the network takes it."""
        return to_network(picture, self.seen, size=self.size_of(picture.shape[:2]))

    def run(
        self,
        pixels: Float32[np.ndarray, "b h w 3"],
        prompt: Float32[np.ndarray, "b h2 w2"] | None = None,
    ) -> Any:
        """Return depth (b, h, w) of a full batch, of which these are the first.

        So that there is one program a size.
        """
        inputs = [pixels] if prompt is None else [pixels, prompt]
        full = [_filled(x, self.batch_size) for x in inputs]
        placed = jax.device_put(full, self._split)
        beside = {} if prompt is None else {"prompt": placed[1]}
        # A kernel that is opaque to XLA must be given how devices share a batch.
        with jax.sharding.use_abstract_mesh(self._abstract):
            return _apply(self._params, placed[0], self.seen, **beside).depth

    def finish(
        self, depth: Float32[np.ndarray, "h w"], shape: tuple[int, int]
    ) -> Float32[np.ndarray, "h2 w2"]:
        """Return depth at a picture's own size."""
        return from_network(depth, self.seen, shape)


def replicated(params: Params, devices: Sequence[Any] | None = None) -> Params:
    """Return parameters on each of some devices, without a copy if they are there."""
    return jax.device_put(params, NamedSharding(_mesh(devices), PartitionSpec()))


def _mesh(devices: Sequence[Any] | None) -> Mesh:
    placed = np.array(jax.local_devices() if devices is None else devices)
    # Auto axes: Linen fails under jax.make_mesh's explicit default.
    return Mesh(placed, ("data",), axis_types=(AxisType.Auto,))


def _filled(x: np.ndarray, count: int) -> np.ndarray:
    """Fill a batch up with copies of its last picture."""
    return np.concatenate([x, np.repeat(x[-1:], count - len(x), axis=0)])
