"""Depth maps, cameras and poses of several pictures of one place."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from jax_depth.camera import Intrinsics, PlacedCamera, Pose, back_project
from jax_depth.depth_map import DepthMap
from jax_depth.formats.atomic import atomic
from jax_depth.formats.colmap import write_colmap
from jax_depth.formats.glb import write_glb_points
from jax_depth.formats.json_file import parse_own, require_regular
from jax_depth.formats.ply import write_ply
from jax_depth.sky import FARTHEST_SKY, SKY

# What a file of points holds at most; viewers in a browser cope with that.
MAX_POINTS = 1_000_000

_FORMAT = "jax_depth views 1"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Views:
    """What `Estimator.views` returns for several pictures of one place.

    Axes are OpenCV's: x right, y down, z forward. The world is the frame of the
    reference view as the network predicts it, or that of the poses given; its unit is
    arbitrary and changes with every call unless depths are "metric_depth".

    Attributes:
        depths: one map per picture, at its own size. Distance along the optical axis.
            With confidence (above 1, larger is surer), and with sky where a metric
            model was used as well. NaN where a picture was cropped.
        cameras: of each picture, in its own pixels, the first pixel's centre at 0.
        poses: of each camera.
        reference: index of the view the network started from.
        photos: uint8 RGB (h, w, 3), the pictures.
        names: of the pictures, without suffix; "view_0", ... where they have none.
    """

    depths: Sequence[DepthMap]
    cameras: Sequence[Intrinsics]
    poses: Sequence[Pose]
    reference: int
    photos: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    names: Sequence[str] = ()

    def __post_init__(self):
        count = len(self.depths)
        object.__setattr__(self, "names", _distinct(self.names, count))
        for field in ("cameras", "poses", "photos", "names"):
            if len(getattr(self, field)) != count:
                raise ValueError(
                    f"{count} depth maps and {len(getattr(self, field))} {field} do "
                    "not fit; give one of each per picture"
                )
        for depth, photo in zip(self.depths, self.photos, strict=True):
            if depth.shape != photo.shape[:2]:
                raise ValueError(
                    f"a depth map of {depth.shape} and its photo of {photo.shape[:2]} "
                    "do not fit"
                )

    def __len__(self) -> int:
        return len(self.depths)

    def __repr__(self) -> str:
        kind = self.depths[0].kind if self.depths else "nothing"
        return f"Views({len(self)} pictures, {kind}, reference {self.reference})"

    def points(
        self, confidence: float = 0.4
    ) -> tuple[Float32[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]]:
        """Return the world points of all pixels, and their colours.

        Args:
            confidence: share of the least confident pixels of all views that is left
                out, in [0, 1). Sky and what has no depth is always left out.

        Raises:
            ValueError: `confidence` is outside that range.
        """
        points, colours, _, _ = self._points(confidence)
        return points, colours

    def sky_filled(self) -> "Views":
        """Return the views with each map's sky filled; see `DepthMap.sky_filled`.

        It is no farther than 200 m, as upstream. Points still leave it out.

        Raises:
            ValueError: the maps have no sky.
        """
        farthest = FARTHEST_SKY if self._unit == "m" else None
        depths = [depth.sky_filled(farthest) for depth in self.depths]
        return dataclasses.replace(self, depths=depths)

    def save(
        self,
        path: str | os.PathLike,
        *,
        confidence: float = 0.4,
        max_points: int = MAX_POINTS,
    ) -> None:
        """Write the scene.

        Args:
            path: `.glb` or `.ply` (points and cameras; y up, as their viewers want
                it), `.npz` (everything, see `load`), or without suffix a new COLMAP
                folder: the photos and `sparse/0` in text.
            confidence: as in `points`; `.npz` keeps everything.
            max_points: more are thinned evenly.

        Raises:
            ValueError: another suffix, or no point is left.
            OSError: it cannot be written.
        """
        path = Path(path)
        writers = {".glb": self._save_glb, ".ply": self._save_ply}
        if path.suffix == ".npz":
            self._save_npz(path)
            return
        if path.suffix not in ("", *writers):
            raise ValueError(
                f"{path}: views are written as .glb, .ply or .npz, or to a COLMAP "
                "folder, which has no suffix"
            )
        points, colours, pixels, views = self._points(confidence)
        if not len(points):
            raise ValueError(
                f"{path}: no point is left at confidence {confidence:g}; give a "
                "smaller one"
            )
        if len(points) > max_points:
            kept = np.linspace(0, len(points) - 1, max_points).astype(int)
            points, colours = points[kept], colours[kept]
            pixels, views = pixels[kept], views[kept]
        if path.suffix:
            writers[path.suffix](path, points, colours)
        else:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise FileExistsError(f"{path}: already exists; give a new folder")
            path.mkdir(parents=True, exist_ok=True)
            write_colmap(
                path, self.photos, self._placed(), points, colours, pixels, views
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Views":
        """Return the views that `save` wrote to a `.npz`.

        Raises:
            FileNotFoundError, OSError: there is no such file, or it cannot be read.
            ValueError: the file holds something else.
        """
        try:
            require_regular(path)
            os.close(os.open(path, os.O_RDONLY))
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file") from None
        except OSError as error:
            raise OSError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            about = parse_own(str(arrays["about"]))
            if about["format"] != _FORMAT:
                raise ValueError
            names = about["names"]
            depths = [
                DepthMap(
                    arrays[f"depth_{i}"],
                    about["kind"],
                    about["unit"],
                    about["model"],
                    confidence=arrays.get(f"confidence_{i}"),
                    sky=arrays.get(f"sky_{i}"),
                )
                for i in range(len(names))
            ]
            return cls(
                depths,
                [Intrinsics(*row) for row in arrays["cameras"].tolist()],
                [Pose(pose) for pose in arrays["poses"]],
                about["reference"],
                [arrays[f"photo_{i}"] for i in range(len(names))],
                names,
            )
        except Exception:
            raise ValueError(
                f"{path}: holds no views; give a .npz that Views.save wrote"
            ) from None

    def _points(self, confidence: float):
        """Return points, colours, pixels (column, row) and views of what is kept."""
        if not 0 <= confidence < 1:
            raise ValueError(
                f"confidence {confidence!r} is not a share of pixels in [0, 1)"
            )
        limit = self._limit(confidence)
        parts = []
        for i, (depth, camera, pose) in enumerate(
            zip(self.depths, self.cameras, self.poses, strict=True)
        ):
            kept = self._kept(depth)
            if depth.confidence is not None and limit is not None:
                kept &= depth.confidence >= limit
            rows, columns = np.nonzero(kept)
            # No values of what is left out enter the product.
            values = np.where(kept, depth.values, 0)
            points = back_project(values, camera, pose)[kept]
            pixels = np.stack([columns, rows], 1)
            view = np.full(len(points), i)
            parts.append(
                (points.astype(np.float32), self.photos[i][kept], pixels, view)
            )
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def _limit(self, confidence: float) -> float | None:
        """Return the confidence that the given share of pixels lies below."""
        maps = [d for d in self.depths if d.confidence is not None]
        values = [np.asarray(d.confidence)[self._kept(d)] for d in maps]
        values = np.concatenate(values) if values else np.zeros(0)
        return float(np.quantile(values, confidence)) if len(values) else None

    @staticmethod
    def _kept(depth: DepthMap) -> np.ndarray:
        kept = np.isfinite(depth.values) & (depth.values > 0)
        return kept if depth.sky is None else kept & (depth.sky < SKY)

    def _placed(self) -> list[PlacedCamera]:
        return [
            PlacedCamera(camera, depth.shape, pose, name)
            for camera, depth, pose, name in zip(
                self.cameras, self.depths, self.poses, self.names, strict=True
            )
        ]

    @property
    def _unit(self) -> str | None:
        return self.depths[0].unit

    def _save_glb(self, path: Path, points, colours) -> None:
        with atomic(path) as temporary:
            write_glb_points(temporary, points, colours, self._placed(), self._unit)

    def _save_ply(self, path: Path, points, colours) -> None:
        unit = "metres" if self._unit == "m" else "of unknown unit"
        with atomic(path) as temporary:
            write_ply(temporary, points, colours, self._placed(), unit)

    def _save_npz(self, path: Path) -> None:
        first = self.depths[0]
        about: dict[str, Any] = {"format": _FORMAT, "names": list(self.names)}
        about |= {"kind": first.kind, "unit": first.unit, "model": first.model}
        about["reference"] = int(self.reference)
        arrays: dict[str, Any] = {
            "about": json.dumps(about),
            "cameras": [dataclasses.astuple(camera) for camera in self.cameras],
            "poses": [pose.world_to_camera for pose in self.poses],
        }
        for i, depth in enumerate(self.depths):
            arrays[f"depth_{i}"], arrays[f"photo_{i}"] = depth.values, self.photos[i]
            for name in ("confidence", "sky"):
                if (values := getattr(depth, name)) is not None:
                    arrays[f"{name}_{i}"] = values
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)


def _distinct(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return the names, those that come twice with a number behind them."""
    if not names:
        return tuple(f"view_{i}" for i in range(count))
    twice = {name for name in names if list(names).count(name) > 1}
    return tuple(f"{n}_{i}" if n in twice else n for i, n in enumerate(names))
