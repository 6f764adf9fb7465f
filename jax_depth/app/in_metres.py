"""A result in metres with its camera, as the user enters them, and points of it."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from jax_depth.app.messages import Refusal
from jax_depth.app.service import Prediction
from jax_depth.camera import Intrinsics, back_project
from jax_depth.depth_map import DepthMap
from jax_depth.outputs import scene


@dataclasses.dataclass(frozen=True)
class Placed:
    """A map in metres and where it was seen from.

    Attributes:
        depth: in metres.
        camera: of the photo.
        said: where camera and metres are from.
    """

    depth: DepthMap
    camera: Intrinsics
    said: str

    def point(self, x: int, y: int) -> np.ndarray:
        """Return the point a pixel shows: metres to the right, down and ahead."""
        depth = self.depth.values[y : y + 1, x : x + 1].astype(np.float64)
        rows, columns = np.array([y]), np.array([x])
        return back_project(depth, self.camera, rows=rows, columns=columns)[0, 0]


def in_metres(
    result: Prediction,
    photo: Path,
    near: float | None,
    far: float | None,
    view: float | None,
) -> Placed:
    """Return a result in metres.

    Args:
        result: of a model that knows metres, or not.
        photo: the file, whose EXIF data may tell the camera.
        near, far: metres, of the nearest and the farthest point; unless the model
            knows metres.
        view: degrees across the longer side; 0 or None for what the photo tells.

    Raises:
        Refusal: 422, metres are not stated, or what is stated is impossible.
    """
    depth, shape = result.depth, result.depth.shape
    try:
        if depth.unit == "m":
            distances = "distances by the model"
        elif near is None or far is None:
            raise ValueError(
                f"{depth.model} gives no metres: neither the scale nor the zero of its "
                "numbers is known; enter both distances"
            )
        else:
            depth = scene.between(depth, near, far)
            distances = (
                f"distances as entered, {near:g} to {far:g} m, since {depth.model} "
                "gives no metres"
            )
        if not view:
            camera, source = scene.find_camera(photo, shape)
        else:
            camera = scene.camera_from_view(shape, view)
            source = f"{view:g} degrees across the longer side, as entered"
    except ValueError as error:
        raise Refusal(422, " ".join(str(error).split())) from None
    return Placed(depth, camera, f"Camera: {source}; {distances}")


def described(placed: Placed, points: dict[str, tuple[int, int]]) -> list[str]:
    """Return sentences about pixels (column, row) by their names, and between them.

    Raises:
        Refusal: 422, a pixel is outside the photo.
    """
    height, width = placed.depth.shape
    sentences, found = [], []
    for name, (x, y) in points.items():
        if not (0 <= x < width and 0 <= y < height):
            raise Refusal(
                422,
                f"{name} is outside the photo, whose columns are 0 to {width - 1} and "
                f"rows 0 to {height - 1}",
            )
        point = placed.point(x, y)
        right, down, ahead = point
        across = f"{_metres(abs(right))} to the {'right' if right >= 0 else 'left'}"
        upright = f"{_metres(abs(down))} {'below' if down >= 0 else 'above'}"
        sentences.append(
            f"{name} at ({x}, {y}): {_metres(ahead)} ahead of the camera, {across} of "
            f"its axis and {upright} it; {_metres(math.hypot(*point))} away"
        )
        found.append(point)
    if len(found) == 2:
        apart = _metres(math.dist(*found))
        sentences.insert(0, f"{' and '.join(points)} are {apart} apart")
    return sentences


def _metres(value: float) -> str:
    """Return 12.3 m, 1.23 m or 0.123 m: three digits, of which no more is known."""
    if value < 1e-3:
        return "0 m"
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{min(digits, 3)}f} m"
