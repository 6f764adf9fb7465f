"""Who may ask this server for what: ASGI middleware before everything else.

gradio answers many more addresses than its page uses. Some fetch other servers'
files (`/gradio_api/file=http...`, `/gradio_api/proxy=`, a file given by its address),
some speak to a hub; and mounted rather than launched it takes any file of this machine
for an upload that a call names by its path. Only what the page uses is let through, so
no request reads a file that was not uploaded or makes this server ask another one, and
the page may load nothing from elsewhere.
"""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jax_depth.app.addresses import host_name, is_among, is_loopback, local_path
from jax_depth.app.limits import MEBIBYTE, Limits

# Of ours, then of gradio's page.
_PATHS = re.compile(
    r"/depth|/health|/models|/metrics|/result/[\w-]+/[\w.-]+"
    r"|/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
    r"|/(static|assets)/[^:]+"
    r"|/gradio_api/(upload|upload_progress|startup-events|reset|cancel|info)"
    r"|/gradio_api/(queue/join|queue/data|run/predict)"
    r"|/gradio_api/heartbeat/\w+"
    r"|/gradio_api/stream/\w+(/close)?"
    r"|/gradio_api/file=(?![a-zA-Z][a-zA-Z0-9+.-]*:).+"
)
_UPLOAD = "/gradio_api/upload"
# What a click on the page sends, some of it past the queue; files are uploaded.
_CALLS = re.compile(r"/gradio_api/(queue/join|run/predict|stream/\w+)")
_CALL_BYTES = MEBIBYTE

_HEADERS = {
    # gradio's page is built from inline scripts, and evaluates texts in some parts.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; "
        "connect-src 'self' data: blob:; frame-ancestors 'none'; "
        "form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """Checks a request and adds the headers that keep the page to itself."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        uploads: Path,
        hosts: Collection[str] = (),
        any_host: bool = False,
    ):
        """Wrap an application.

        Args:
            app: to protect.
            limits: of bodies.
            uploads: folder in which all files lie that a call of the page may name.
            hosts: names by which the server may be called beside those of loopback,
                `*.example.org` for all below one; other sites' pages cannot reach it
                by a name of theirs that points here. Pages under these names may call
                it whatever a proxy between makes of the Host header.
            any_host: whether it may be called by any name, for a server that is open
                to others on purpose.
        """
        self._app = app
        self._limits = limits
        self._uploads = uploads.resolve()
        # Starlette's TrustedHostMiddleware knows no network of loopback and no
        # Origin, and its "Invalid host header" does not say what to do about it.
        self._hosts = tuple(name.lower() for name in hosts)
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), local_path(scope)
        refusal = self._refusal(path, headers)
        if refusal is None:
            body = _Body(receive, self._most(path))
            receive = body.receive
            if _CALLS.fullmatch(path):
                refusal = await body.read_call(self._uploads)
        if refusal is not None:
            status, sentence = refusal
            answer = PlainTextResponse(f"{sentence}\n", status, headers=_HEADERS)
            await answer(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = host_name(host)
        if not (self._any_host or is_loopback(name) or is_among(name, self._hosts)):
            return 403, (
                f"this server is not called {host!r}; use 127.0.0.1, or start it with "
                f"--allow-host {name or 'NAME'}"
            )
        if not self._is_own(headers.get("origin"), host):
            return 403, "requests from the pages of other sites are not served"
        if not _PATHS.fullmatch(path):
            return 404, f"there is nothing at {path[:100]!r}"
        if _length(headers) > self._most(path):
            return 413, f"the request has more than {self._most(path)} bytes"
        return None

    def _is_own(self, origin: str | None, host: str) -> bool:
        """Whether a request comes from this server's page, or from none."""
        if origin is None:
            return True
        try:
            address = urlsplit(origin).netloc
        except ValueError:
            return False
        return address == host or is_among(host_name(address), self._hosts)

    def _most(self, path: str) -> int:
        if path == "/depth":
            # One more, so that /depth can say in its own words that it is too much.
            return self._limits.upload_bytes * 1000
        return self._limits.request_bytes if path == _UPLOAD else _CALL_BYTES


class _Body:
    """A request's body, cut off where it becomes too long."""

    def __init__(self, receive: Receive, most: int):
        self._receive = receive
        self._left = most
        self._read: list[Message] = []

    async def receive(self) -> Message:
        """Return the next part; a client that sends too much counts as gone."""
        if self._read:
            return self._read.pop(0)
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._left < 0 else message

    async def read_call(self, uploads: Path) -> tuple[int, str] | None:
        """Look into a call of the page before gradio does."""
        messages, more = [], True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return 413, f"the call has more than {_CALL_BYTES} bytes"
            messages.append(message)
            more = message.get("more_body", False)
        self._read = messages
        try:
            call = json.loads(b"".join(m.get("body", b"") for m in messages))
        except (ValueError, RecursionError):
            return 400, "the call is not JSON"
        if not all(_is_inside(path, uploads) for path in _paths(call)):
            return 403, "a file must be uploaded before it is used"
        return None


def _paths(value: Any) -> Iterable[str]:
    """Yield whatever gradio would take for the path or address of a file."""
    found = [value]
    while found:
        item = found.pop()
        if isinstance(item, dict):
            if isinstance(item.get("path"), str):
                yield item["path"]
            found.extend(item.values())
        elif isinstance(item, list):
            found.extend(item)


def _is_inside(path: str, folder: Path) -> bool:
    # An address, such as http://..., is a relative path here and lies outside too.
    try:
        # A folder, the one of all uploads first, is nothing that anyone uploaded:
        # gradio would no longer clean up after it.
        place = Path(path).resolve()
        inside = Path(path).is_absolute() and place.is_relative_to(folder)
        return inside and place.is_file()
    except (OSError, ValueError):  # a null byte, or longer than paths can be
        return False


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
