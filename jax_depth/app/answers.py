"""A refusal as an answer over HTTP."""

from starlette.responses import PlainTextResponse

from jax_depth.app.refusal import Refusal

# Seconds after which a request is worth sending again: 429 when a photo is done, 503
# when the server has memory, or runs, again.
_RETRY_AFTER = {429: "1", 503: "5"}


def as_answer(refusal: Refusal, **headers: str) -> PlainTextResponse:
    """Return the sentence as plain text, with the refusal's status."""
    if refusal.status in _RETRY_AFTER:
        headers["Retry-After"] = _RETRY_AFTER[refusal.status]
    return PlainTextResponse(f"{refusal}\n", refusal.status, headers=headers)
