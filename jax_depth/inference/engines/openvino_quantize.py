"""Post-training quantisation of a model by NNCF: ranges from pictures, weights to int8.

What sees the pixels first stays in float32: a patch embedding costs little, and a
convolutional stem, as that of `tiny`, loses more than all the rest of the network.
Attention's own products stay too, which OpenVINO computes in floats in any case.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jax_depth._typing import Params
from jax_depth.config import ModelConfig
from jax_depth.inference.engines.openvino import (
    import_openvino,
    plain,
    without_telemetry,
)

_PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")


def import_nncf() -> Any:
    """Return the module nncf, imported without its telemetry.

    Raises:
        ValueError: it, or openvino, is not installed; the sentence has the remedy.
    """
    try:
        import_openvino()
        return without_telemetry("nncf")
    except ModuleNotFoundError as error:
        if error.name not in ("nncf", "openvino"):
            raise
        raise ValueError(
            f"quantising needs the package {error.name}, which is not installed; run: "
            "pip install 'jax_depth[quantize]'"
        ) from None


def quantized_changes(
    params: Params, config: ModelConfig, pixels: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Quantise a model's products and convolutions to int8.

    Args:
        params: nested dict of float32 arrays.
        config: the model, of single pictures.
        pixels: what the network sees of photos, (1, h, w, 3) float32, all of one size;
            activations get the ranges they have on these.

    Returns:
        What `openvino_int8.apply_changes` makes of a graph of any size.

    Raises:
        ValueError: nncf is not installed, or NNCF cannot quantise the model.
    """
    nncf = import_nncf()
    # Late, as is Flax: importing them takes half a second.
    from jax_depth.inference.engines.openvino_graph import to_openvino
    from jax_depth.inference.engines.openvino_int8 import changes_of, number_operators
    from jax_depth.models.depth_anything import apply_to_pictures

    config = plain(config)
    params = jax.tree.map(lambda x: np.asarray(x, np.float32), dict(params))

    def function(params, pixels):
        return apply_to_pictures(params, pixels, config)

    graph = to_openvino(function, params, pixels[0].shape)
    ignored = _left_in_floats(number_operators(graph))
    nncf.set_log_level(logging.ERROR)
    # Its bars and notes go to stdout, where a command's own result stands.
    shown = sys.stderr if sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(shown):
        quantized = nncf.quantize(
            graph,
            nncf.Dataset(list(pixels)),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(pixels),
            ignored_scope=nncf.IgnoredScope(names=ignored),
        )
    return changes_of(graph, quantized)


def _left_in_floats(operators: Iterable[str]) -> list[str]:
    """Return names: attention, and the products that no layer norm stands before."""
    from jax_depth.inference.engines.openvino_int8 import EARLY

    left = {"ScaledDotProductAttention", *(EARLY + kind for kind in _PRODUCTS)}
    return [name for name in operators if name.rpartition(".")[0] in left]
