"""The picture in the body of a request: alone, or as the one file of a form."""

import asyncio
import dataclasses
from collections.abc import Mapping

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from jax_depth.app.decode import check_bytes
from jax_depth.app.limits import Limits
from jax_depth.app.messages import Refusal

USAGE = "send a picture: curl --data-binary @photo.jpg -o depth.png http://HOST/depth"
# Of a client that left before its picture had arrived, as nginx counts them; nobody
# reads it.
_LEFT = 499
# Bytes of a form around its file, and fields beside it.
_AROUND, _FIELDS = 1 << 16, 16


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a client sent.

    Attributes:
        picture: the file.
        name: of the file, where a form gives one.
        fields: of the form beside the file.
    """

    picture: bytes
    name: str = ""
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)


async def read_body(request: Request, limits: Limits) -> Sent:
    """Read a body, and no more of it than a photo may have.

    Raises:
        Refusal: 413 too long, 415 no picture, 422 empty or no form with one file, 504
            too slow.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = kind == "multipart/form-data"
    if not form and kind.startswith(("multipart/", "application/json")):
        raise Refusal(415, f"the body is {kind}, not a picture alone; {USAGE}")
    try:
        async with asyncio.timeout(limits.seconds):
            sent = await (_form if form else _alone)(request, limits)
    except TimeoutError:
        raise Refusal(
            504, f"the picture did not arrive within {limits.seconds:g} seconds"
        ) from None
    except ClientDisconnect:
        raise Refusal(_LEFT, "the picture broke off; send it again") from None
    if not sent.picture:
        what = "file in the form" if form else "body"
        raise Refusal(422, f"the {what} is empty; {USAGE}")
    return sent


async def _alone(request: Request, limits: Limits) -> Sent:
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        parts.append(part)
        length += len(part)
        check_bytes(length, limits)
    return Sent(b"".join(parts))


async def _form(request: Request, limits: Limits) -> Sent:
    left = limits.upload_bytes + _AROUND

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            check_bytes(limits.upload_bytes + 1, limits)
        return message

    try:
        form = await Request(request.scope, receive).form(
            max_files=1, max_fields=_FIELDS, max_part_size=_AROUND
        )
    except (MultiPartException, HTTPException, ValueError) as error:
        reason = getattr(error, "detail", None) or str(error)
        raise Refusal(
            422, f"the form cannot be read ({reason.rstrip('.')}); it takes one file"
        ) from None
    try:
        files = [item for _, item in form.multi_items() if isinstance(item, UploadFile)]
        if not files:
            raise Refusal(422, "the form has no file; curl --form file=@photo.jpg")
        fields = {key: item for key, item in form.items() if isinstance(item, str)}
        picture = await files[0].read()
    finally:
        await form.close()
    check_bytes(len(picture), limits)
    return Sent(picture, files[0].filename or "", fields)
