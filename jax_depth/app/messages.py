"""Sentences on the page."""

import html

from jax_depth.app.refusal import Refusal


def refusal_html(refusal: Refusal) -> str:
    """Return a refusal as it is shown on the page."""
    text = str(refusal)
    return f'<p class="refusal">{html.escape(text[:1].upper() + text[1:])}.</p>'
