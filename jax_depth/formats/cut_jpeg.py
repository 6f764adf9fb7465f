"""JPEG files that lack their end marker only: every pixel is there.

Cameras that lose power and downloads that stop a byte early leave them; OpenCV and
browsers show the picture. A file whose picture itself is cut stays refused.
"""

import io

from PIL import Image

_END = b"\xff\xd9"
# What a decoder would take for further samples, were any missing: two patterns, since
# one could by chance be what it fills in itself.
_PROBES = (bytes([0x55]) * 256, bytes([0xA9]) * 256)


def whole_jpeg(image: Image.Image) -> Image.Image | None:
    """Return an open JPEG that lacks its end marker only, loaded; None of others."""
    stream = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or stream is None or stream.closed:
        return None
    stream.seek(0)
    return with_end_marker(stream.read())


def with_end_marker(data: bytes) -> Image.Image | None:
    """Return the decoded picture of a JPEG without its end marker, or None.

    Args:
        data: the whole file.

    Returns:
        The picture, loaded; None if any of its pixels is missing, or if a progressive
        file lacks a scan, which is a picture too, but a blurred one.
    """
    data = data.rstrip(b"\xff")
    if not data.startswith(b"\xff\xd8") or not _scans_complete(data):
        return None
    pictures = []
    for more in (b"", *_PROBES):
        try:
            picture = Image.open(io.BytesIO(data + more + _END))
            picture.load()
        except Exception:
            return None
        pictures.append(picture)
    # Where samples are missing, what follows is decoded in their place.
    whole = all(p.tobytes() == pictures[0].tobytes() for p in pictures[1:])
    return pictures[0] if whole else None


def _scans_complete(data: bytes) -> bool:
    """Tell whether every coefficient has reached its last bit (ITU T.81, G.1.1.1)."""
    components: set[int] = set()
    finished: dict[int, set[int]] = {}
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF, *range(0xD0, 0xD8)):
            at += 1  # entropy-coded data, fill bytes and restart markers
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker in (0xC0, 0xC1, 0xC2) and len(segment) >= 6:
            components = {segment[6 + 3 * k] for k in range(segment[5])}
        if marker == 0xDA:
            count = segment[0] if segment else 0
            if len(segment) != 2 * count + 4:
                return False
            first, last, low = *segment[1 + 2 * count : 3 + 2 * count], segment[-1] & 15
            for k in range(count):
                if low == 0:
                    done = finished.setdefault(segment[1 + 2 * k], set())
                    done.update(range(first, last + 1))
        at += 2 + length
    return bool(components) and all(
        len(finished.get(component, ())) == 64 for component in components
    )
