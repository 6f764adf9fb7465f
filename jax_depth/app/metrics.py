"""What a server counts, for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jax_depth.app.addresses import local_path

# Seconds from a picture's arrival to its depth: a small model on a GPU to a large one
# behind a queue on a CPU.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOGETHER = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counts of one server, in a registry of its own.

    Attributes:
        requests: answers to requests for depth, by status.
        pictures: seconds from a picture's arrival to its depth, by model, whether a
            request or the page asked.
        together: pictures computed in the same device call as a picture.
        in_work: pictures in work or waiting.
        queue: of these, those that wait for the device.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._registry = CollectorRegistry()
        where = {"registry": self._registry, "namespace": "jax_depth"}
        self.requests = Counter("requests", "Answers of /depth.", ["status"], **where)
        self.pictures = Histogram(
            "picture_seconds",
            "From a picture's arrival to its depth.",
            ["model"],
            buckets=_SECONDS,
            **where,
        )
        self.together = Histogram(
            "batch_pictures",
            "Pictures computed in the same device call as a picture.",
            buckets=_TOGETHER,
            **where,
        )
        self.in_work = Gauge(
            "pictures_in_work", "Pictures being computed or waiting.", **where
        )
        self.queue = Gauge(
            "pictures_waiting", "Pictures waiting for the device.", **where
        )
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)


class Counted:
    """ASGI middleware that counts the answers of `/depth`."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        """Wrap an application."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or local_path(scope) != "/depth":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)
