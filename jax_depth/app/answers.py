"""Refusals as HTTP answers that reach the client."""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jax_depth.app.messages import Refusal

# Seconds after which a request is worth sending again: 429 when a photo is done, 503
# when the server has memory, or runs, again.
_RETRY_AFTER = {429: "1", 503: "5"}
# Seconds that a refused client may take to send the rest of its request.
_REST = 1.0


def as_answer(refusal: Refusal, **headers: str) -> PlainTextResponse:
    """Return the sentence as plain text, with the refusal's status."""
    if refusal.status in _RETRY_AFTER:
        headers["Retry-After"] = _RETRY_AFTER[refusal.status]
    return PlainTextResponse(f"{refusal}\n", refusal.status, headers=headers)


class HearOut:
    """ASGI middleware that reads a request to its end before it is refused.

    The server closes a connection whose client is still sending, so that the client
    may never read why, and a proxy makes "502 Bad Gateway" of the refusal.
    """

    def __init__(self, app: ASGIApp):
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A client that waits for "100 Continue" sends nothing before it.
        ended = "expect" in Headers(scope=scope)

        async def heard() -> Message:
            nonlocal ended
            message = await receive()
            ended = not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REST):
                        while not ended:
                            await heard()
            await send(message)

        await self._app(scope, heard, answer)
