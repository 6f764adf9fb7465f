"""A photo with its depth and camera, and every file it can become: `save`."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from jax_depth.camera import Intrinsics
from jax_depth.depth_map import DepthMap
from jax_depth.formats import colmap, obj
from jax_depth.formats.atomic import atomic, new_directory
from jax_depth.formats.glb import write_glb_mesh, write_glb_points
from jax_depth.formats.optional import installed
from jax_depth.formats.ply import write_ply
from jax_depth.formats.usdz import usd_module, write_usdz
from jax_depth.outputs.pictures import write_png
from jax_depth.outputs.scene.decimate import decimated
from jax_depth.outputs.scene.fill import can_fill
from jax_depth.outputs.scene.normals import normal_map
from jax_depth.outputs.scene.stereo import (
    PARALLAX,
    anaglyph,
    film_module,
    stereo_pair,
    write_parallax,
)
from jax_depth.outputs.scene.surface import EDGE_ANGLE, MAX_POINTS, Surface, lift
from jax_depth.outputs.scene.texture import worn

# Of a mesh unless stated: with the texture of a large photo less than 10 MB.
TRIANGLES = 200_000


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """What three-dimensional files are made of.

    Attributes:
        photo: uint8 (h, w, 3) RGB; of OpenCV's BGR give `photo[..., ::-1]`.
        depth: of the same size; in metres, but for "stereo", "anaglyph", "parallax".
        camera: of the photo; see `find_camera`.
        name: of the photo, for COLMAP.
        max_depth, edge_angle, max_points, fill: see `lift`.
        parallax: see `stereo_pair`.
        triangles: of a mesh at most; see `mesh`.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    depth: DepthMap
    camera: Intrinsics
    name: str = "photo"
    max_depth: float | None = None
    edge_angle: float = EDGE_ANGLE
    max_points: int = MAX_POINTS
    parallax: float = PARALLAX
    fill: bool = False
    triangles: int | None = None

    @functools.cached_property
    def surface(self) -> Surface:
        """Points and triangles; computed once for all files.

        Raises:
            ValueError: as `lift`.
        """
        return self._lifted(self.max_points)

    @functools.cached_property
    def mesh(self) -> Surface:
        """`surface` with `triangles` or fewer, 200,000 unless stated.

        By `decimated`; where its package is missing and nothing is stated, of as many
        fewer points.

        Raises:
            ValueError: as `lift` and `decimated`.
        """
        most = self.triangles or TRIANGLES
        able = installed("fast_simplification")
        if self.triangles is None and not able:
            return self._lifted(min(self.max_points, most // 2))
        whole = self.surface
        behind = len(whole.behind.triangles) if whole.behind else 0
        if len(whole.triangles) + behind <= most:
            return whole
        return decimated(whole, most)

    def _lifted(self, max_points: int) -> Surface:
        return lift(
            self.depth,
            self.photo,
            self.camera,
            max_depth=self.max_depth,
            edge_angle=self.edge_angle,
            max_points=max_points,
            fill=self.fill,
        )


@dataclasses.dataclass(frozen=True)
class SceneFormat:
    """One kind of file.

    Attributes:
        ending: what follows the photo's name in the file's; a folder's has no dot.
        summary: a few words for people.
        write: (scene, path) -> None.
        metric: whether the depth has to be in metres.
        whole: whether `write` itself leaves the old file or the whole new one.
        needs: raises ValueError where a package that it needs is not installed.
    """

    ending: str
    summary: str
    write: Callable[[Scene, Path], None]
    metric: bool = True
    whole: bool = False
    needs: Callable[[], object] | None = None


def _stereo(scene: Scene, path: Path) -> None:
    pair = stereo_pair(scene.photo, scene.depth, scene.parallax)
    write_png(np.concatenate(pair, axis=1), path)


def _points(write: Callable[..., None], surface: Surface, path: Path) -> None:
    write(path, surface.world, surface.colors, [surface.placed()])


def _worn(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray, bytes]:
    """Return points, triangles, places in the texture, and the texture of a mesh."""
    mesh = worn(scene.mesh, scene.photo)
    return mesh.points, mesh.triangles, mesh.uv, mesh.texture


def _obj(scene: Scene, path: Path) -> None:
    with new_directory(path, replaces=obj.ENTRIES) as temporary:
        obj.write_obj(temporary, *_worn(scene))


def _mesh(scene: Scene, path: Path) -> None:
    surface = scene.mesh
    write_glb_mesh(
        path,
        surface.world,
        surface.triangles,
        surface.pixels,
        scene.photo,
        surface.placed(),
        surface.behind,
    )


def _colmap(scene: Scene, path: Path) -> None:
    with new_directory(path, replaces=colmap.ENTRIES) as temporary:
        surface = scene.surface
        colmap.write_colmap(
            temporary,
            [scene.photo],
            [surface.placed(scene.name)],
            surface.world,
            surface.colors,
            surface.pixels,
        )


SCENE_FORMATS: Mapping[str, SceneFormat] = MappingProxyType(
    {
        "glb": SceneFormat(
            "_mesh.glb",
            "mesh textured with the photo",
            _mesh,
        ),
        "usdz": SceneFormat(
            "_mesh.usdz",
            "mesh for iPhone and iPad",
            lambda scene, path: write_usdz(path, *_worn(scene)),
            needs=usd_module,
        ),
        "obj": SceneFormat(
            "_obj",
            "folder with a mesh as Wavefront OBJ, its material and texture",
            _obj,
            whole=True,
            needs=obj.trimesh_module,
        ),
        "glb-points": SceneFormat(
            "_points.glb",
            "point cloud as glTF",
            lambda scene, path: _points(write_glb_points, scene.surface, path),
        ),
        "ply": SceneFormat(
            "_points.ply",
            "point cloud as binary PLY",
            lambda scene, path: _points(write_ply, scene.surface, path),
        ),
        "colmap": SceneFormat(
            "_colmap",
            "folder with the photo and a COLMAP text model",
            _colmap,
            whole=True,
        ),
        "normals": SceneFormat(
            "_normals.png",
            "picture of the surface normals",
            lambda scene, path: write_png(normal_map(scene.depth, scene.camera), path),
        ),
        "stereo": SceneFormat(
            "_stereo.png", "left and right eye side by side", _stereo, metric=False
        ),
        "anaglyph": SceneFormat(
            "_anaglyph.png",
            "for red and cyan glasses",
            lambda scene, path: write_png(
                anaglyph(scene.photo, scene.depth, scene.parallax), path
            ),
            metric=False,
        ),
        "parallax": SceneFormat(
            "_parallax.mp4",
            "video of a swaying view",
            lambda scene, path: write_parallax(
                scene.photo,
                scene.depth,
                path,
                scene.parallax,
                scene.fill or can_fill(),
            ),
            metric=False,
            whole=True,
            needs=film_module,
        ),
    }
)


def save(scene: Scene, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Write one file, or COLMAP's folder, whole or not at all.

    Args:
        scene: what to write.
        path: where to; the folder it is in must exist. An older result is replaced.
        format: a name of `SCENE_FORMATS`; by default "glb" for `.glb` and "ply" for
            `.ply`.

    Raises:
        ValueError: unknown format, depth not in metres, or nothing to show.
        FileExistsError: for "colmap", a folder that holds something else.
        OSError: the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    name = path.suffix.lower().removeprefix(".") if format is None else format
    if name not in SCENE_FORMATS:
        raise ValueError(
            f"{path}: format {name!r} is unknown; known: {', '.join(SCENE_FORMATS)}"
        )
    form = SCENE_FORMATS[name]
    if form.whole:
        form.write(scene, path)
        return
    with atomic(path) as temporary:
        form.write(scene, temporary)
