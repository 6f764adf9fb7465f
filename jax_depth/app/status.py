"""`GET /health`, `/models` and `/metrics`: what a supervisor asks."""

from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from jax_depth import __version__
from jax_depth.app.service import Service
from jax_depth.inference.estimator import Estimator

_METHODS = ["GET", "HEAD"]
_FRESH = {"Cache-Control": "no-store"}


def add_status(app: FastAPI, service: Service) -> None:
    """Add the routes."""

    @app.api_route("/health", methods=_METHODS)
    async def health() -> Response:
        ready = not service.work.stopping
        document = {
            "ready": ready,
            "version": __version__,
            "model": next(iter(service.models)),
            "queue": service.batcher.waiting,
            "in_work": service.admitted,
            "max_waiting": service.limits.waiting,
        }
        # While it stops the page is refused too.
        return JSONResponse(document, 200 if ready else 503, headers=_FRESH)

    @app.api_route("/models", methods=_METHODS)
    async def models() -> Response:
        default = next(iter(service.models))
        rows = [
            _row(name, estimator, service.limits.size) | {"default": name == default}
            for name, estimator in service.models.items()
        ]
        return JSONResponse(rows)

    @app.api_route("/metrics", methods=_METHODS)
    async def metrics() -> Response:
        return Response(
            service.metrics.text(), media_type=CONTENT_TYPE_LATEST, headers=_FRESH
        )


def _row(name: str, estimator: Estimator, largest: int) -> dict[str, Any]:
    config = estimator.config
    return {
        "name": name,
        "kind": config.kind,
        "unit": "m" if config.kind == "metric_depth" else None,
        "max_depth": config.max_depth,
        "size": estimator.size,
        "min_size": config.encoder.patch_size,
        "max_size": largest,
    }
