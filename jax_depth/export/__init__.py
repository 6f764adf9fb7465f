"""Models as files for other programs: StableHLO and ONNX."""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.export.onnx import write_onnx as write_onnx
    from jax_depth.export.stablehlo import write_stablehlo as write_stablehlo

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "write_onnx": "onnx",
        "write_stablehlo": "stablehlo",
    },
)
