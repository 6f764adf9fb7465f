"""glTF 2.0 in one binary file: a point cloud, or a mesh that wears the photo.

https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html: metres, y up, -z forward,
front faces counter-clockwise. Colours are the photo's own light, so materials are unlit
(KHR_materials_unlit), and the camera of the photo is in the file, for viewers that let
one look through it.
"""

import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_depth import __version__
from jax_depth.outputs.scene.surface import Surface

_POINTS, _TRIANGLES = 0, 4
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
# Every GPU with WebGL 2 takes textures of this many pixels a side.
_MAX_TEXTURE = 4096
_UNLIT = "KHR_materials_unlit"


def write_glb_points(surface: Surface, path: Path) -> None:
    """Write the points with their colours.

    Raises:
        OSError: the file cannot be written.
    """
    content = _Content()
    linear = np.empty((len(surface.colors), 4), "<u2")
    linear[:, :3] = _LINEAR[surface.colors]
    linear[:, 3] = 65535
    primitive = {
        "mode": _POINTS,
        "attributes": {
            "POSITION": content.positions(surface.points),
            # glTF's vertex colours are linear light; eight bits would band the darks.
            "COLOR_0": content.accessor(linear, _USHORT, "VEC4", normalized=True),
        },
        "material": 0,
    }
    _write(path, content, primitive, {}, surface)


def write_glb_mesh(
    surface: Surface, path: Path, photo: UInt8[np.ndarray, "h w 3"]
) -> None:
    """Write the triangles with the photo as their texture.

    Args:
        surface: of that photo.
        path: the file.
        photo: uint8 RGB; larger than 4096 pixels it is shrunk to that.

    Raises:
        ValueError: the photo is of another size.
        OSError: the file cannot be written.
    """
    height, width = surface.shape
    if photo.shape != (height, width, 3):
        raise ValueError(
            f"the photo is {photo.shape[1]}x{photo.shape[0]}, the surface of one of "
            f"{width}x{height}"
        )
    content = _Content()
    middle = (surface.pixels + 0.5) / np.array([width, height])
    primitive = {
        "mode": _TRIANGLES,
        "attributes": {
            "POSITION": content.positions(surface.points),
            "TEXCOORD_0": content.accessor(middle.astype("<f4"), _FLOAT, "VEC2"),
        },
        "indices": content.accessor(
            surface.triangles.astype("<u4").ravel(), _UINT, "SCALAR", _INDICES
        ),
        "material": 0,
    }
    image = {"mimeType": "image/jpeg", "bufferView": content.view(_jpeg(photo))}
    document = {
        "images": [image],
        # Clamped and linear, or the photo's opposite edges bleed into each other.
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071}],
        "textures": [{"source": 0, "sampler": 0}],
    }
    document["samplers"][0]["wrapT"] = 33071
    _write(path, content, primitive, document, surface)


@dataclasses.dataclass
class _Content:
    """The binary chunk and what the JSON says about it."""

    parts: list[bytes] = dataclasses.field(default_factory=list)
    views: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    accessors: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    size: int = 0

    def view(self, data: bytes, target: int | None = None) -> int:
        padding = -len(data) % 4
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": len(data)}
        self.views.append(view | ({"target": target} if target else {}))
        self.parts += [data, bytes(padding)]
        self.size += len(data) + padding
        return len(self.views) - 1

    def accessor(
        self, array, component: int, kind: str, target: int = _VERTICES, **more: Any
    ) -> int:
        view = self.view(array.tobytes(), target)
        accessor = {"bufferView": view, "componentType": component, "type": kind}
        self.accessors.append(accessor | {"count": len(array)} | more)
        return len(self.accessors) - 1

    def positions(self, points) -> int:
        points = points.astype("<f4")
        # Required of positions, and exact float32.
        bounds = {"min": points.min(0).tolist(), "max": points.max(0).tolist()}
        return self.accessor(points, _FLOAT, "VEC3", **bounds)


def _write(path: Path, content: _Content, primitive, more, surface: Surface) -> None:
    height, width = surface.shape
    camera = surface.camera
    material: dict[str, Any] = {"baseColorFactor": [1, 1, 1, 1], "roughnessFactor": 1}
    material["metallicFactor"] = 0
    if "textures" in more:
        material["baseColorTexture"] = {"index": 0}
    document = {
        "asset": {
            "version": "2.0",
            "generator": f"jax_depth {__version__}",
            "extras": {"unit": "m", "width": width, "height": height}
            | dataclasses.asdict(camera),
        },
        "extensionsUsed": [_UNLIT],
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": "depth", "mesh": 0}, {"name": "photo", "camera": 0}],
        "cameras": [_perspective(surface)],
        "meshes": [{"primitives": [primitive]}],
        "materials": [
            {
                "pbrMetallicRoughness": material,
                "extensions": {_UNLIT: {}},
                # The back of a wall is better than a hole.
                "doubleSided": True,
            }
        ],
        "buffers": [{"byteLength": content.size}],
        "bufferViews": content.views,
        "accessors": content.accessors,
        **more,
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with open(path, "wb") as file:
        file.write(b"glTF" + _u32(2, 12 + 8 + len(text) + 8 + content.size))
        file.write(_u32(len(text), _JSON) + text)
        file.write(_u32(content.size, _BINARY))
        file.writelines(content.parts)


def _perspective(surface: Surface) -> dict[str, Any]:
    """Return glTF's camera; it has no principal point, so the middle is its axis."""
    height, width = surface.shape
    vertical = 2 * math.atan(height / 2 / surface.camera.fy)
    aspect = width * surface.camera.fy / (height * surface.camera.fx)
    near = float(-surface.points[:, 2].max())
    perspective = {"yfov": vertical, "aspectRatio": aspect, "znear": near / 2}
    return {"type": "perspective", "perspective": perspective}


def _jpeg(photo: np.ndarray) -> bytes:
    image = Image.fromarray(photo)
    image.thumbnail((_MAX_TEXTURE, _MAX_TEXTURE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def _u32(*numbers: int) -> bytes:
    return np.array(numbers, "<u4").tobytes()


def _linear_table() -> np.ndarray:
    """Return sRGB bytes -> linear light in 16 bits: IEC 61966-2-1."""
    s = np.arange(256) / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    return np.rint(65535 * linear).astype("<u2")


_LINEAR = _linear_table()
