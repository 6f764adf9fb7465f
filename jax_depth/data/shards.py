"""Shards of rendered RGB-D frames: the file format, its writer and its reader.

A data set is a folder with one subfolder per split (``train``, ``heldout``). A
split is a sequence of shards ``shard-00000.zip``, ``shard-00001.zip``, …, each a
ZIP archive (members stored, not deflated) of up to ``frames_per_shard`` frames:

* ``000123.jpg``  RGB, 8 bit, JPEG quality 93, 4:4:4 chroma.
* ``000123.png``  disparity, 16 bit: ``disparity = value * scale`` in 1/metres,
  where disparity is the inverse of the distance along the optical axis. Value 0
  is the sky (infinitely far) and nothing else: surfaces hold at least 1. The
  stored value is off by at most ``scale / 2``, where ``scale`` is the largest
  disparity of the frame divided by 65535, except for surfaces farther than
  ``2 / scale`` metres, which all hold 1.
* ``index.jsonl``  the last member: one JSON object per frame, with ``name``
  ("000123"), ``index`` (123), ``seed``, ``kind`` (of scene: "indoor", "outdoor", ...),
  ``width``, ``height``, ``scale``, ``focal`` (pixels; square pixels, principal point
  in the middle), ``pitch`` and ``roll`` (radians), and ``near``/``far`` (metres, 1st
  and 99th percentile of the surfaces).

Frame ``i`` is in shard ``i // frames_per_shard``, and depends on (seed, i) alone.
A shard appears under its final name only once it is complete.
"""

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

from jax_depth.formats.atomic import atomic
from jax_depth.formats.json_file import parse_own, refuse_pipe

FRAMES_PER_SHARD = 250
JPEG_QUALITY = 93

# Local file header of a ZIP member (APPNOTE 6.3.10, section 4.3.7): its fixed part,
# which ends with the lengths of the name and of the extra field before the data.
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True)
class RenderedFrame:
    """One rendered picture with its exact disparity.

    Attributes:
        rgb: uint8 (h, w, 3), sRGB.
        disparity: float32 (h, w), 1/m, 0 where the ray meets only sky.
        record: the frame's line of ``index.jsonl``.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    disparity: Float32[np.ndarray, "h w"]
    record: dict[str, Any]


def quantize(
    disparity: Float32[np.ndarray, "h w"],
) -> tuple[UInt16[np.ndarray, "h w"], float]:
    """Return disparity as uint16 and the scale that undoes it.

    Raises:
        ValueError: if a value is negative or not finite, or all are 0.
    """
    if not np.isfinite(disparity).all() or disparity.min() < 0:
        raise ValueError("disparity must be finite and at least 0")
    scale = float(disparity.max()) / 65535.0
    if scale == 0.0:
        raise ValueError("disparity is 0 everywhere: the frame shows only sky")
    steps = np.rint(disparity.astype(np.float64) / scale)
    return np.where(disparity > 0, np.maximum(steps, 1), 0).astype(np.uint16), scale


def encode(frame: RenderedFrame) -> tuple[bytes, bytes, dict[str, Any]]:
    """Return the JPEG, the 16-bit PNG and the completed index record of a frame."""
    values, scale = quantize(frame.disparity)
    jpeg, png = io.BytesIO(), io.BytesIO()
    image = Image.fromarray(frame.rgb)
    image.save(jpeg, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    Image.fromarray(values).save(png, "PNG", compress_level=4)
    height, width = frame.disparity.shape
    record = frame.record | {"width": width, "height": height, "scale": scale}
    return jpeg.getvalue(), png.getvalue(), record


def write_shard(path: Path, frames: Iterable[RenderedFrame]) -> int:
    """Write frames to a shard atomically; return how many there were.

    The record of each frame must hold ``index``; ``name`` is derived from it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with (
        atomic(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for frame in frames:
            jpeg, png, record = encode(frame)
            name = f"{record['index']:06d}"
            archive.writestr(f"{name}.jpg", jpeg)
            archive.writestr(f"{name}.png", png)
            lines.append(json.dumps({"name": name} | record))
        archive.writestr("index.jsonl", "\n".join(lines) + "\n")
    return len(lines)


class Shard:
    """Random access to the frames of one shard.

    Holds no open file, so threads and processes may share it: zipfile would parse the
    directory again for each, which takes longer than decoding a frame.

    Attributes:
        path: of the file.
        records: one dict per frame, as in ``index.jsonl``.

    Raises:
        ValueError: the file is not such a shard, or cut short.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        try:
            refuse_pipe(self.path)
            with zipfile.ZipFile(self.path) as archive:
                text = archive.read("index.jsonl").decode()
                self._members = {info.filename: info for info in archive.infolist()}
            self.records = [parse_own(line) for line in text.split("\n") if line]
            for record in self.records:
                _ = record["name"], float(record["scale"])
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{self.path} is damaged or not a shard of frames ({reason}); "
                "render it again"
            ) from None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, position: int) -> RenderedFrame:
        """Read a frame.

        Raises:
            ValueError, OSError, KeyError: a member is missing or damaged.
        """
        record = self.records[position]
        with Image.open(io.BytesIO(self._member(f"{record['name']}.jpg"))) as image:
            rgb = np.asarray(image)
        with Image.open(io.BytesIO(self._member(f"{record['name']}.png"))) as image:
            values = np.asarray(image)
        disparity = values.astype(np.float32) * np.float32(record["scale"])
        return RenderedFrame(rgb, disparity, record)

    def _member(self, name: str) -> bytes:
        info = self._members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(
                f"{self.path}: {name} is compressed; store members uncompressed"
            )
        with open(self.path, "rb") as file:
            file.seek(info.header_offset)
            header = file.read(_LOCAL_HEADER.size)
            magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            file.seek(name_length + extra_length, os.SEEK_CUR)
            data = file.read(info.file_size)
        if magic != b"PK\3\4" or zlib.crc32(data) != info.CRC:
            raise ValueError(f"{self.path}: {name} is damaged (its checksum differs)")
        return data


def shard_path(root: Path | str, split: str, number: int) -> Path:
    """Return the file of one shard of a split."""
    return Path(root) / split / f"shard-{number:05d}.zip"


def shard_paths(root: Path | str, split: str) -> list[Path]:
    """Return the complete shards of a split; call again to see newer ones."""
    return sorted((Path(root) / split).glob("shard-*.zip"))
