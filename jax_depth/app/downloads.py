"""`GET /result/NAME/FILE`: what the page offers for download, made when asked for."""

import html
import io
from urllib.parse import quote, urlencode

import numpy as np
from fastapi import FastAPI, Request
from PIL import Image
from starlette.responses import PlainTextResponse, Response

from jax_depth.app.encode import encode
from jax_depth.app.looks import Look
from jax_depth.app.service import Prediction, Service
from jax_depth.app.store import Store
from jax_depth.formats.optional import installed
from jax_depth.formats.png16 import COMPRESSION
from jax_depth.outputs.scene import stereo_pair

# File of the address -> format of `jax_depth.outputs`, and what a user reads.
FILES = {
    "depth.png": ("png16", "16-bit PNG"),
    "depth.npy": ("npy", "NumPy array"),
    "color.png": ("color", "coloured PNG"),
}
if installed("OpenEXR"):
    FILES["depth.exr"] = ("exr", "EXR")
# Made of the photo as well.
_STEREO = "stereo.png"


def add_downloads(app: FastAPI, service: Service, store: Store) -> None:
    """Add the routes of results."""

    @app.get("/result/{token}/{file}")
    async def result(token: str, file: str, request: Request) -> Response:
        kept = store.get(token)
        if kept is None or file not in (*FILES, _STEREO):
            return PlainTextResponse(
                "this result is no longer kept; drop the photo again\n", 404
            )
        try:
            if file == _STEREO:
                content = await service.in_thread(_stereo, kept)
            else:
                format, _ = FILES[file]
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
    labels = {file: label for file, (_, label) in FILES.items()}
    labels[_STEREO] = "stereo pair"
    buttons = [
        f'<a href="result/{token}/{file}?{query}" download>{label}</a>'
        for file, label in labels.items()
    ]
    return f'<div class="downloads">{"".join(buttons)}</div>'


def _encode(depth, format: str, options: dict) -> bytes:
    return encode(depth, format, **options)


def _stereo(kept: Prediction) -> bytes:
    """Return a PNG of what the left and the right eye would see, side by side."""
    pair = np.concatenate(stereo_pair(kept.photo, kept.depth), axis=1)
    stream = io.BytesIO()
    Image.fromarray(pair).save(stream, "PNG", compress_level=COMPRESSION)
    return stream.getvalue()


def _options(format: str, request: Request) -> dict:
    if format != "color":
        return {}
    query = request.query_params
    options: dict = {"colormap": query.get("colours", "Spectral_r")}
    if "low" in query and "high" in query:
        options |= {end: _number(end, query[end]) for end in ("low", "high")}
    return options


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}={text[:40]!r} is not a number") from None
