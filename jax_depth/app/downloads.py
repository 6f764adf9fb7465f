"""`GET /result/NAME/FILE`: what the page offers for download, made when asked for."""

import html
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from jax_depth.app.encode import encode
from jax_depth.app.looks import Look
from jax_depth.app.service import Service
from jax_depth.app.store import Store

# File of the address -> format of `jax_depth.outputs`, and what a user reads.
FILES = {
    "depth.png": ("png16", "16-bit PNG"),
    "depth.npy": ("npy", "NumPy array"),
    "color.png": ("color", "coloured PNG"),
}


def add_downloads(app: FastAPI, service: Service, store: Store) -> None:
    """Add the routes of results."""

    @app.get("/result/{token}/{file}")
    async def result(token: str, file: str, request: Request) -> Response:
        kept = store.get(token)
        if kept is None or file not in FILES:
            return PlainTextResponse(
                "this result is not kept any more; drop the photo again\n", 404
            )
        format, _ = FILES[file]
        try:
            options = _options(format, request)
            content = await service.in_thread(_encode, kept.depth, format, options)
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 422)
        stem = request.query_params.get("name", "depth")
        name = quote(f"{stem}_{file}", safe="")
        kind = "image/png" if file.endswith(".png") else "application/octet-stream"
        disposition = f"attachment; filename*=UTF-8''{name}"
        headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
        return Response(content, media_type=kind, headers=headers)


def links(token: str, stem: str, look: Look) -> str:
    """Return the HTML of the download buttons of a result."""
    options = {"name": stem, "colours": look.colours}
    if look.low is not None and look.high is not None:
        options |= {"low": repr(look.low), "high": repr(look.high)}
    query = html.escape(urlencode(options))
    buttons = [
        f'<a href="result/{token}/{file}?{query}" download>{label}</a>'
        for file, (_, label) in FILES.items()
    ]
    return f'<div class="downloads">{"".join(buttons)}</div>'


def _encode(depth, format: str, options: dict) -> bytes:
    return encode(depth, format, **options)


def _options(format: str, request: Request) -> dict:
    if format != "color":
        return {}
    query = request.query_params
    options: dict = {"colormap": query.get("colours", "Spectral_r")}
    if "low" in query and "high" in query:
        options |= {"low": float(query["low"]), "high": float(query["high"])}
    return options
