"""The blocks of `report.html`, filled in: every tag of the page is in that file."""

import functools
import importlib.resources
import re
import string
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any


class Html(str):
    """Text that is HTML already; any other is escaped when it is filled in."""


def fill(block: str, /, **values: Any) -> Html:
    """Return a block of the template with its values, each text or several in a row.

    Raises:
        KeyError: no such block, or a value that it needs is missing.
    """
    filled = {name: _html(value) for name, value in values.items()}
    return Html(_blocks()[block].substitute(filled))


def text_of(name: str) -> Html:
    """Return a file of this folder, to be filled in as it is."""
    file = importlib.resources.files("jax_depth.study").joinpath(name)
    return Html(file.read_text(encoding="utf-8"))


def _html(value: Any) -> str:
    if isinstance(value, Html):
        return value
    if isinstance(value, str) or not isinstance(value, Iterable):
        return escape(str(value))
    return "".join(map(_html, value))


@functools.cache
def _blocks() -> Mapping[str, string.Template]:
    parts = re.split(r"^<!-- (\w+) -->\n", text_of("report.html"), flags=re.MULTILINE)
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {name: string.Template(text.strip("\n")) for name, text in named}
