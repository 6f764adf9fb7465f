"""`POST /depth`: a picture in the body, depth in the answer.

Documented in docs/app.md. An error is answered with one sentence of plain text and the
matching status.
"""

import difflib
from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from jax_depth.app.answers import as_answer
from jax_depth.app.body import USAGE, read_body
from jax_depth.app.encode import encode
from jax_depth.app.messages import Refusal
from jax_depth.app.models import find_model, size_range
from jax_depth.app.service import Service
from jax_depth.depth_map import DepthMap
from jax_depth.formats.optional import installed

# Of the answer: format of `jax_depth.outputs` and media type.
FORMATS = {
    "png": ("png16", "image/png"),
    "npy": ("npy", "application/octet-stream"),
    "npz": ("npz", "application/zip"),
    "exr": ("exr", "image/x-exr"),
}
_OPTIONS = ("format", "model", "size")
_OTHERS = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"]


def add_endpoint(app: FastAPI, service: Service) -> None:
    """Add the route `/depth`."""

    @app.post("/depth")
    async def depth(request: Request) -> Response:
        try:
            return await _answer(request, service)
        except Refusal as refusal:
            return as_answer(refusal)

    @app.api_route("/depth", methods=_OTHERS)
    async def usage() -> Response:
        allow = {"Allow": "POST"}
        return PlainTextResponse(f"/depth takes POST; {USAGE}\n", 405, headers=allow)


async def _answer(request: Request, service: Service) -> Response:
    options = _options(request.query_params)
    sent = await read_body(request, service.limits)
    # Of a form, fields beside the file are options too.
    options |= _options(sent.fields)
    form = options.get("format", "png")
    name, media_type = FORMATS[form]
    model = options.get("model")
    result = await service.predict(
        sent.picture,
        name=sent.name,
        model=model,
        size=_size(options.get("size"), service, model),
    )
    content = await service.in_thread(encode, result.depth, name)
    headers = {
        **_meaning(result.depth),
        "X-Depth-Batch": str(result.together),
        "Content-Disposition": f'attachment; filename="depth.{form}"',
    }
    return Response(content, media_type=media_type, headers=headers)


def _options(given: Mapping[str, str]) -> dict[str, str]:
    for key in given:
        if key not in _OPTIONS:
            near = difflib.get_close_matches(key, _OPTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see docs/app.md"
            raise Refusal(
                422, f"option {_short(key)} is unknown ({', '.join(_OPTIONS)}); {hint}"
            )
    if (form := given.get("format", "png")) not in FORMATS:
        raise Refusal(
            422, f"format {_short(form)} is unknown; give {', '.join(FORMATS)}"
        )
    if form == "exr" and not installed("OpenEXR"):
        raise Refusal(
            422, "this server writes no EXR, which needs jax_depth[exr]; use npz"
        )
    return dict(given)


def _size(text: str | None, service: Service, model: str | None) -> int | None:
    if text is None:
        return None
    whole = text.isascii() and text.isdigit()
    if whole and len(text) < 10:  # int() of a long text takes long
        return int(text)
    least, most = size_range(find_model(service.models, model), service.limits)
    problem = "is too large" if whole else "is not a whole number of pixels"
    raise Refusal(422, f"size {_short(text)} {problem}; give {least} to {most}")


def _short(text: str) -> str:
    """Return a stranger's word as sentences quote it."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _meaning(depth: DepthMap) -> dict[str, str]:
    """Return what an array does not say, as headers."""
    # Header values are Latin-1, names of models need not be.
    name = depth.model.encode("ascii", "replace").decode()
    texts = {
        "X-Depth-Kind": depth.kind,
        "X-Depth-Model": name,
        "X-Depth-Min": f"{depth.values.min():.9g}",
        "X-Depth-Max": f"{depth.values.max():.9g}",
    }
    return {**texts, "X-Depth-Unit": depth.unit} if depth.unit else texts
