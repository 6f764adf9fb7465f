"""Photo to depth map: reading, preprocessing, running a model, the result."""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.inference.estimator import Estimator as Estimator
    from jax_depth.inference.estimator import load as load

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "Estimator": "estimator",
        "load": "estimator",
    },
)
