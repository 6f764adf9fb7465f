"""The networks: pure functions of parameters and pixels. No file, no picture format."""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.models.depth_anything import DepthAnything as DepthAnything
    from jax_depth.models.depth_anything import features as features
    from jax_depth.models.depth_anything import forward as forward
    from jax_depth.models.initialize import init as init

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "DepthAnything": "depth_anything",
        "features": "depth_anything",
        "forward": "depth_anything",
        "init": "initialize",
    },
)
