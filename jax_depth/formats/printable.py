"""Text for a terminal: control characters of a name are shown, never obeyed."""

import unicodedata


def printable(text: str, keep: str = "") -> str:
    """Return text with control and direction characters escaped, as `repr` does.

    Args:
        text: any, names of files among it.
        keep: control characters that are the caller's own, such as a newline.
    """
    # Cc: control; Cf: format, right-to-left overrides among them; Cs: surrogates;
    # Zl, Zp: separators that begin a new line.
    return "".join(
        character
        if character in keep
        or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        or character == "\u200d"  # joins emoji
        else repr(character)[1:-1]
        if not character.isprintable()
        else character
        for character in text
    )
