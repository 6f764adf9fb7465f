"""`POST /depth`: a picture in the body, depth in the answer.

Documented in docs/app.md. The answer to a mistake is one sentence as plain text, with
a status that says the same.
"""

import asyncio
import difflib
from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response

from jax_depth.app.answers import as_answer
from jax_depth.app.decode import check_bytes
from jax_depth.app.encode import encode
from jax_depth.app.limits import Limits
from jax_depth.app.refusal import Refusal
from jax_depth.app.service import Service
from jax_depth.depth_map import DepthMap

# Of the answer: format of `jax_depth.outputs` and media type.
FORMATS = {
    "png": ("png16", "image/png"),
    "npy": ("npy", "application/octet-stream"),
}
_OPTIONS = ("format", "model", "size")
# Of a client that left before its picture had arrived, as nginx counts them; nobody
# reads it.
_LEFT = 499
_USAGE = "send a picture: curl --data-binary @photo.jpg -o depth.png http://HOST/depth"


def add_endpoint(app: FastAPI, service: Service) -> None:
    """Add the route `/depth`."""

    @app.post("/depth")
    async def depth(request: Request) -> Response:
        try:
            return await _answer(request, service)
        except Refusal as refusal:
            return as_answer(refusal)

    @app.api_route("/depth", methods=["GET", "PUT", "PATCH", "DELETE"])
    async def usage() -> Response:
        allow = {"Allow": "POST"}
        return PlainTextResponse(f"/depth takes POST; {_USAGE}\n", 405, headers=allow)


async def _answer(request: Request, service: Service) -> Response:
    options = _options(request.query_params)
    form = options.get("format", "png")
    name, media_type = FORMATS[form]
    body = await _body(request, service.limits)
    result = await service.predict(
        body, model=options.get("model"), size=_size(options.get("size"))
    )
    content = await service.in_thread(encode, result.depth, name)
    headers = {
        **_meaning(result.depth),
        "X-Depth-Batch": str(result.together),
        "Content-Disposition": f'attachment; filename="depth.{form}"',
    }
    return Response(content, media_type=media_type, headers=headers)


def _options(query: Mapping[str, str]) -> dict[str, str]:
    for key in query:
        if key not in _OPTIONS:
            near = difflib.get_close_matches(key, _OPTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see docs/app.md"
            raise Refusal(
                422, f"option {key!r} is unknown ({', '.join(_OPTIONS)}); {hint}"
            )
    if (form := query.get("format", "png")) not in FORMATS:
        raise Refusal(422, f"format {form!r} is unknown; give {' or '.join(FORMATS)}")
    return dict(query)


def _size(text: str | None) -> int | None:
    # No longer than a size can be, since int() of a long text takes long.
    if text is None or (text.isascii() and text.isdigit() and len(text) < 6):
        return None if text is None else int(text)
    raise Refusal(422, f"size {text[:20]!r} is not a whole number of pixels")


async def _body(request: Request, limits: Limits) -> bytes:
    """Read the body, and no more of it than a photo may have."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith(("multipart/", "application/json")):
        raise Refusal(415, f"the body is {kind}, not a picture alone; {_USAGE}")
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                parts.append(part)
                check_bytes(sum(map(len, parts)), limits)
    except TimeoutError:
        raise Refusal(
            504, f"the picture did not arrive within {limits.seconds:g} seconds"
        ) from None
    except ClientDisconnect:
        raise Refusal(_LEFT, "the picture broke off; send it again") from None
    body = b"".join(parts)
    if not body:
        raise Refusal(422, f"the body is empty; {_USAGE}")
    return body


def _meaning(depth: DepthMap) -> dict[str, str]:
    """Return what a `.npy` does not say, as headers."""
    # Header values are Latin-1, names of models need not be.
    name = depth.model.encode("ascii", "replace").decode()
    texts = {"X-Depth-Kind": depth.kind, "X-Depth-Model": name}
    return {**texts, "X-Depth-Unit": depth.unit} if depth.unit else texts
