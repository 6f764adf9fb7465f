"""Camera raw files as cameras lay them out: a preview, and the sensor's data."""

import io

import numpy as np
import tifffile

PREVIEW = np.full((32, 48, 3), 90, np.uint8)
SENSOR = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
_FILTERS = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]


def raw_photo(kind: str) -> bytes:
    """Return a file: "dng", "thumbnail" (NewSubfileType 1, as NEF), "plain", "cfa".

    The preview of "plain" does not say that it is one; "cfa" has none.
    """
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        if kind != "cfa":
            file.write(
                PREVIEW,
                photometric="rgb",
                metadata=None,
                subfiletype=0 if kind == "plain" else 1,
                subifds=1,
                extratags=[(50706, 1, 4, b"\1\4\0\0", True)] if kind == "dng" else (),
            )
        file.write(SENSOR, photometric="cfa", metadata=None, extratags=_FILTERS)
    return stream.getvalue()
