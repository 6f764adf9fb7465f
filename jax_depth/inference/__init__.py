"""From a photo to a depth map: read, preprocess, run the model, return the result."""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.inference.canvases import Canvases as Canvases
    from jax_depth.inference.canvases import on_canvas as on_canvas
    from jax_depth.inference.canvases import predict_canvases as predict_canvases
    from jax_depth.inference.estimator import Estimator as Estimator
    from jax_depth.inference.estimator import load as load

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "Canvases": "canvases",
        "Estimator": "estimator",
        "load": "estimator",
        "on_canvas": "canvases",
        "predict_canvases": "canvases",
    },
)
