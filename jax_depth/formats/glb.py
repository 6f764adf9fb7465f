"""glTF 2.0 in one binary file: a point cloud, or a mesh textured with the photo.

https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html: metres, y up, -z forward,
front faces counter-clockwise. Colours are the photo's own light, so materials are unlit
(KHR_materials_unlit), and the camera of the photo is in the file, for viewers that let
one look through it.
"""

import dataclasses
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Real, UInt8
from PIL import Image

from jax_depth import __version__
from jax_depth.camera import PlacedCamera

_POINTS, _TRIANGLES = 0, 4
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
# Every GPU with WebGL 2 takes textures of this many pixels a side.
_MAX_TEXTURE = 4096
# Bytes that a texture should fit in, and the qualities that are tried until it does.
_TEXTURE_BYTES, _QUALITIES = 5_000_000, (92, 85, 75)
_UNLIT = "KHR_materials_unlit"
# From OpenCV's axes: y up and -z forward.
_TO_GLTF = np.array([1, -1, -1], np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Coloured:
    """Triangles whose corners have colours.

    Attributes:
        points: float32 (n, 3) in the world, OpenCV's axes.
        colors: uint8 (n, 3) sRGB.
        triangles: int (m, 3).
    """

    points: Float32[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]


def write_glb_points(
    path: Path,
    points: Float32[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"],
    cameras: Sequence[PlacedCamera],
    unit: str | None = "m",
) -> None:
    """Write points with their colours.

    Args:
        path: the file.
        points: in the world, OpenCV's axes: y down, z forward.
        colors: sRGB.
        cameras: of the pictures the points are from, at least one.
        unit: of the points; None where it is unknown.

    Raises:
        OSError: the file cannot be written.
    """
    content = _Content()
    primitive = {
        "mode": _POINTS,
        "attributes": {
            "POSITION": content.positions(points),
            "COLOR_0": content.colors(colors),
        },
        "material": 0,
    }
    _write(path, content, primitive, {}, points, cameras, unit)


def write_glb_mesh(
    path: Path,
    points: Float32[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "m 3"],
    pixels: Real[np.ndarray, "n 2"],
    photo: UInt8[np.ndarray, "h w 3"],
    camera: PlacedCamera,
    behind: "Coloured | None" = None,
) -> None:
    """Write triangles with the photo as their texture.

    Args:
        path: the file.
        points: in the world, OpenCV's axes: y down, z forward.
        triangles: points counter-clockwise as the camera sees them.
        pixels: column and row in the photo of each point.
        photo: uint8 RGB; larger than 4096 pixels it is shrunk to that. Of more than
            5 MB as a JPEG it is packed more tightly.
        camera: of the photo.
        behind: a second surface, which has colours of its own.

    Raises:
        ValueError: the photo is of another size than the camera's picture.
        OSError: the file cannot be written.
    """
    height, width = camera.shape
    if photo.shape != (height, width, 3):
        raise ValueError(
            f"the photo is {photo.shape[1]}x{photo.shape[0]}, the surface of one of "
            f"{width}x{height}"
        )
    content = _Content()
    middle = (pixels + 0.5) / np.array([width, height])
    primitive = {
        "mode": _TRIANGLES,
        "attributes": {
            "POSITION": content.positions(points),
            "TEXCOORD_0": content.accessor(middle.astype("<f4"), _FLOAT, "VEC2"),
        },
        "indices": content.accessor(
            triangles.astype("<u4").ravel(), _UINT, "SCALAR", _INDICES
        ),
        "material": 0,
    }
    image = {"mimeType": "image/jpeg", "bufferView": content.view(texture_jpeg(photo))}
    document = {
        "images": [image],
        # Clamped and linear, or the photo's opposite edges bleed into each other.
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071}],
        "textures": [{"source": 0, "sampler": 0}],
    }
    document["samplers"][0]["wrapT"] = 33071
    others = [_coloured(content, behind)] if behind else []
    _write(path, content, primitive, document, points, [camera], "m", others)


def _coloured(content: "_Content", surface: Coloured) -> dict[str, Any]:
    """Return the primitive of triangles whose corners have colours."""
    return {
        "mode": _TRIANGLES,
        "attributes": {
            "POSITION": content.positions(surface.points),
            "COLOR_0": content.colors(surface.colors),
        },
        "indices": content.accessor(
            surface.triangles.astype("<u4").ravel(), _UINT, "SCALAR", _INDICES
        ),
        "material": 1,
    }


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

    def colors(self, colors) -> int:
        # glTF's vertex colours are linear light; eight bits would band the darks.
        linear = np.empty((len(colors), 4), "<u2")
        linear[:, :3] = _LINEAR[colors]
        linear[:, 3] = 65535
        return self.accessor(linear, _USHORT, "VEC4", normalized=True)

    def positions(self, points) -> int:
        points = (points * _TO_GLTF).astype("<f4")
        # Required of positions, and exact float32.
        bounds = {"min": points.min(0).tolist(), "max": points.max(0).tolist()}
        return self.accessor(points, _FLOAT, "VEC3", **bounds)


def _write(
    path: Path, content, primitive, more, points, cameras, unit, others=()
) -> None:
    height, width = cameras[0].shape
    plain: dict[str, Any] = {"baseColorFactor": [1, 1, 1, 1], "roughnessFactor": 1}
    plain["metallicFactor"] = 0
    worn = {"baseColorTexture": {"index": 0}} if "textures" in more else {}
    materials = [plain | worn, *(plain for _ in others)]
    document = {
        "asset": {
            "version": "2.0",
            "generator": f"jax_depth {__version__}",
            "extras": ({"unit": unit} if unit else {})
            | {"width": width, "height": height}
            | dataclasses.asdict(cameras[0].intrinsics),
        },
        "extensionsUsed": [_UNLIT],
        "scene": 0,
        "scenes": [{"nodes": list(range(1 + len(cameras)))}],
        "nodes": [
            {"name": "depth", "mesh": 0},
            *(_node(number, camera) for number, camera in enumerate(cameras)),
        ],
        "cameras": [_perspective(camera, points) for camera in cameras],
        "meshes": [{"primitives": [primitive, *others]}],
        "materials": [
            {
                "pbrMetallicRoughness": material,
                "extensions": {_UNLIT: {}},
                # The back of a wall is better than a hole.
                "doubleSided": True,
            }
            for material in materials
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


def _node(number: int, camera: PlacedCamera) -> dict[str, Any]:
    node: dict[str, Any] = {"name": camera.name, "camera": number}
    if camera.pose.is_identity:
        return node
    matrix = np.eye(4)
    matrix[:3] = camera.pose.camera_to_world
    flip = np.diag([*_TO_GLTF, 1])
    # Column by column, as glTF stores matrices.
    return node | {"matrix": (flip @ matrix @ flip).T.ravel().tolist()}


def _perspective(camera: PlacedCamera, points: np.ndarray) -> dict[str, Any]:
    """Return glTF's camera; it has no principal point, so the middle is its axis."""
    (height, width), lens = camera.shape, camera.intrinsics
    vertical = 2 * math.atan(height / 2 / lens.fy)
    aspect = width * lens.fy / (height * lens.fx)
    depth = points @ camera.pose.rotation[2] + camera.pose.translation[2]
    # Points of other pictures may stand behind this one.
    near = float(depth[depth > 0].min(initial=math.inf))
    near = near if math.isfinite(near) else 1.0
    perspective = {"yfov": vertical, "aspectRatio": aspect, "znear": near / 2}
    return {"type": "perspective", "perspective": perspective}


def texture_jpeg(photo: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return a photo as the JPEG that a mesh wears, of 5 MB unless it is all noise."""
    image = Image.fromarray(photo)
    image.thumbnail((_MAX_TEXTURE, _MAX_TEXTURE))
    content = b""
    for quality in _QUALITIES:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        content = stream.getvalue()
        if len(content) <= _TEXTURE_BYTES:
            break
    return content


def _u32(*numbers: int) -> bytes:
    return np.array(numbers, "<u4").tobytes()


def _linear_table() -> np.ndarray:
    """Return sRGB bytes -> linear light in 16 bits: IEC 61966-2-1."""
    s = np.arange(256) / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    return np.rint(65535 * linear).astype("<u2")


_LINEAR = _linear_table()
