"""How a server stops: current work finishes, new work is refused."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jax_depth.app.addresses import local_path
from jax_depth.app.answers import as_answer
from jax_depth.app.messages import Refusal

# Seconds between two looks at whether everything is done.
_BEAT = 0.05
# By these the page fetches what was in work, and a supervisor asks how it goes; the
# rest would be new work.
_DELIVERY = re.compile(
    r"/health|/models|/metrics|/result/.*|/static/.*|/assets/.*"
    r"|/gradio_api/(queue/data|heartbeat/.*|file=.*|cancel|reset)"
)


def stopping() -> Refusal:
    """Return the refusal for a user who arrives, or still waits, at the end."""
    return Refusal(503, "the server is stopping; send the picture again later")


class Work:
    """What a server is working on, so that it can stop when that is done.

    Attributes:
        stopping: whether nothing new is taken.
    """

    def __init__(self) -> None:
        """Start with nothing in work."""
        self.stopping = False
        self._over = False
        self._scopes: set[asyncio.Timeout] = set()
        self._clips: set[object] = set()

    @property
    def count(self) -> int:
        """Photos, requests and clips in work."""
        return len(self._scopes) + len(self._clips)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Count the block as work, and end it when there is no more time.

        Raises:
            Refusal: 503, the server stops and cannot wait for the block any longer.
        """
        if self._over:
            raise stopping()
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError:
            if scope.expired():
                raise stopping() from None
            raise
        finally:
            self._scopes.discard(scope)

    @contextlib.contextmanager
    def clip(self) -> Iterator[None]:
        """Count the block, in any thread, as work that itself checks when to end."""
        token = object()
        self._clips.add(token)
        try:
            yield
        finally:
            self._clips.discard(token)

    async def finish(self, seconds: float, hurried: Callable[[], bool]) -> None:
        """Take nothing new, wait for what is in work, and end what remains then.

        Args:
            seconds: to wait at most.
            hurried: whether not to wait any longer.
        """
        self.stopping = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.count and loop.time() < end and not hurried():
            await asyncio.sleep(_BEAT)
        self._over = True
        for scope in self._scopes:
            scope.reschedule(loop.time())


class Door:
    """ASGI middleware that counts requests for depth, and closes on demand."""

    def __init__(self, app: ASGIApp, work: Work):
        """Wrap an application."""
        self._app = app
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = local_path(scope)
        if self._work.stopping and not _DELIVERY.fullmatch(path):
            await as_answer(stopping(), Connection="close")(scope, receive, send)
            return
        # A client that leaves in the middle of an upload wants no answer, and whoever
        # reads the log no traceback.
        with contextlib.suppress(ClientDisconnect):
            if path == "/depth":
                await self._count(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with self._work.one():
                await self._app(scope, receive, watched)
        except Refusal as refusal:
            if not started:
                answer = as_answer(refusal, Connection="close")
                await answer(scope, receive, send)
