"""Depth in the browser and over HTTP: `jax-depth app`.

What arrives crosses `guard` (who may ask for what), `decode` (bytes to pixels, within
`limits`), `service` (pixels to a depth map, through the queue of `batching`) and
leaves through `endpoint` (the HTTP call) or `page` (the browser).
"""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.app.limits import Limits as Limits
    from jax_depth.app.server import Application as Application
    from jax_depth.app.server import application as application

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "Application": "server",
        "Limits": "limits",
        "application": "server",
    },
)
