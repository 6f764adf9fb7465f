"""OpenVINO: faster than XLA on CPUs, most of all with bfloat16 on AMX units.

The graph is translated from `jax_depth.forward` itself, so it is the same network
with the same parameters. In float32 its results differ from XLA's by the order of
sums: at most 1e-4 of a map's standard deviation. In bfloat16 OpenVINO rounds what
flows between operators too, where this library keeps it float32, so they differ by
some hundredths of it. A CPU without AMX (flag `amx_bf16` in /proc/cpuinfo) is slower in
bfloat16 than in float32.
"""

import collections
import dataclasses
import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np

from jax_depth._forked import check_process, has_threads
from jax_depth._typing import Float32, Params
from jax_depth.config import ModelConfig, with_encoder
from jax_depth.models import architectures
from jax_depth.models.output import Output

# A compiled model holds its own copy of the weights in the layout its kernels want.
_MAX_COMPILED = 32
_MAX_BYTES = 4 << 30


class OpenVinoEngine:
    """Translates and compiles the network for each (batch, height, width), on the CPU.

    Attributes:
        params: nested dict of float32 NumPy arrays; the graphs share their memory.
        batch_size: 1; a larger one gains nothing on a CPU.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        devices: Sequence[Any] | None = None,
        changes: Mapping[str, np.ndarray] | None = None,
    ):
        """Find OpenVINO; nothing is compiled yet.

        Args:
            params: nested dict.
            config: the model.
            devices: None.
            changes: what makes its graphs int8, see `openvino_int8`.

        Raises:
            ValueError: `devices` are given, the model is one of clips, int8 is asked
                for beside bfloat16, or openvino is not installed.
        """
        if devices is not None:
            raise ValueError(
                "engine 'openvino' runs on the CPU and takes no devices; leave "
                "`devices` out or use engine 'xla'"
            )
        if architectures.sees_clips(config):
            raise ValueError(
                "engine 'openvino' cannot run video models, such as "
                f"{config.name!r}; use engine 'xla'"
            )
        if changes is not None and config.dtype != "float32":
            raise ValueError(
                f"{config.name} is quantised to int8, and its other parts are in "
                "float32; leave dtype out"
            )
        has_threads()
        try:
            openvino = import_openvino()
        except ModuleNotFoundError:
            raise ValueError(
                "engine 'openvino' needs the package openvino, which is not installed; "
                "run: pip install 'jax_depth[openvino]'"
            ) from None
        self.params = jax.tree.map(lambda x: np.asarray(x, np.float32), dict(params))
        self.batch_size = 1
        self._config = plain(config)
        self._changes = changes
        bfloat16 = config.dtype == "bfloat16"
        self._options = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._core = openvino.Core()
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(self.params))
        self._kept = max(1, min(_MAX_COMPILED, _MAX_BYTES // size))
        self._requests: collections.OrderedDict = collections.OrderedDict()
        self._lock = threading.Lock()  # one inference uses every core

    @property
    def compilations(self) -> int:
        """How many graphs are compiled and kept: as many as fit in 4 GiB, up to 32."""
        return len(self._requests)

    def run(
        self, pixels: Float32[np.ndarray, "b h w 3"], *prompt: Any
    ) -> np.ndarray | Output:
        """Run pixels and return the maps (b, h, w), float32.

        An `Output` for a model that predicts more than depth.

        Compiled once for each batch and picture size.

        Raises:
            ValueError: a prompt, which only XLA takes.
        """
        if prompt:
            raise ValueError("engine 'openvino' takes no prompts; use engine 'xla'")
        check_process()
        pixels = np.ascontiguousarray(pixels)
        with self._lock:
            request, tree = self._request(pixels.shape)
            request.infer([pixels], share_inputs=True)
            maps = [
                np.array(request.get_output_tensor(i).data)
                for i in range(tree.num_leaves)
            ]
        return jax.tree.unflatten(tree, maps)

    def _request(self, shape: tuple[int, ...]) -> Any:
        if shape in self._requests:
            self._requests.move_to_end(shape)
            return self._requests[shape]
        # Late, as is Flax: importing them takes half a second.
        from jax_depth.inference.engines.openvino_graph import to_openvino
        from jax_depth.models.depth_anything import apply_to_pictures

        def function(params, pixels):
            output = apply_to_pictures(params, pixels, self._config)
            trees.append(jax.tree.structure(output))
            return output

        trees: list[Any] = []

        while len(self._requests) >= self._kept:
            self._requests.popitem(last=False)
        graph = to_openvino(function, self.params, shape)
        if self._changes is not None:
            from jax_depth.inference.engines.openvino_int8 import apply_changes

            apply_changes(graph, self._changes)
        compiled = self._core.compile_model(graph, "CPU", self._options)
        self._requests[shape] = compiled.create_infer_request(), trees[0]
        return self._requests[shape]


def import_openvino() -> ModuleType:
    """Return the module openvino, imported without its telemetry.

    Raises:
        ModuleNotFoundError: openvino is not installed.
    """
    return without_telemetry("openvino")


def without_telemetry(name: str) -> ModuleType:
    """Import a module of OpenVINO's tools, which then sends no word of it.

    Otherwise they fork this process, beside JAX's threads, to send word of the
    import over the network. They do nothing of the kind where the package
    openvino_telemetry is missing, and so it is, while they look for it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    telemetry = "openvino_telemetry"
    known = sys.modules.get(telemetry)
    sys.modules[telemetry] = None  # pyright: ignore[reportArgumentType]
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[telemetry]
        if known is not None:
            sys.modules[telemetry] = known


def plain(config: ModelConfig) -> ModelConfig:
    """Return the config in the form to translate: OpenVINO itself goes to bfloat16."""
    return dataclasses.replace(with_encoder(config, scan=False), dtype="float32")
