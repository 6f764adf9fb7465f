"""What one server accepts, so that nobody can fill its memory, disk or queue."""

import dataclasses

MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of a server; anything beyond one is refused with a message.

    Attributes:
        upload_bytes: of one file.
        pixels: of one photo, known from its header before it is decoded.
        size: largest short side, in pixels, at which the network sees a photo.
        tokens: patches the network may see, which bounds elongated photos too.
        waiting: photos being worked on or waiting, of all users together.
        seconds: from a photo's arrival to its depth.
        batch_photos: of one run of the batch tab.
        frames: of one video; the rest of it is left out.
        kept_bytes: of results kept for download and for a change of colours; the
            oldest go first.

    Raises:
        ValueError: a bound is not above 0.
    """

    upload_bytes: int = 20 * MEBIBYTE
    pixels: int = 50_000_000
    size: int = 1036
    tokens: int = 128 * 128
    waiting: int = 32
    seconds: float = 60.0
    batch_photos: int = 50
    frames: int = 900
    kept_bytes: int = 512 * MEBIBYTE

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(
                    f"the limit {field.name} is {getattr(self, field.name)}; it must "
                    "be above 0"
                )

    @property
    def request_bytes(self) -> int:
        """Bytes of one upload request, which may hold several files."""
        return 10 * self.upload_bytes
