"""Pinhole cameras and where they stand: projection and back-projection.

Axes are OpenCV's: x to the right, y down, z forward. Pixels are counted from 0 at the
centre of the first one, so a picture's left edge is at -0.5.
"""

import dataclasses
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float, Float64


# Whole numbers and NumPy's are numbers as well, whatever the import hook says.
@no_type_check
@dataclasses.dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels, (0, 0) being the centre of the first pixel.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def matrix(self) -> Float64[np.ndarray, "3 3"]:
        """The matrix that takes (x, y, z) to z times (column, row, 1)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def resized(self, shape: tuple[int, int], to: tuple[int, int]) -> "Intrinsics":
        """Return the camera of the same picture resized.

        Args:
            shape: (height, width) of the picture this camera belongs to.
            to: (height, width) after resizing.
        """
        down, across = to[0] / shape[0], to[1] / shape[1]
        # Edges meet edges: the corner, at -0.5, stays where it is.
        return Intrinsics(
            self.fx * across,
            self.fy * down,
            (self.cx + 0.5) * across - 0.5,
            (self.cy + 0.5) * down - 0.5,
        )


def focal_lengths(camera: Any) -> tuple[float, float]:
    """Return (fx, fy) of `Intrinsics` or of a camera's matrix.

    Raises:
        ValueError: an array of another shape, or a focal length that is not above 0.
    """
    if isinstance(camera, Intrinsics):
        fx, fy = float(camera.fx), float(camera.fy)
    else:
        matrix = np.asarray(camera, np.float64)
        if matrix.shape != (3, 3):
            raise ValueError(
                f"the camera is an array of shape {matrix.shape}; give Intrinsics(fx, "
                "fy, cx, cy) or its matrix (3, 3), in pixels of the photo"
            )
        fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    if not (0 < fx < np.inf and 0 < fy < np.inf):
        raise ValueError(f"focal lengths of {fx:g} and {fy:g} pixels are not above 0")
    return fx, fy


# A rotation that went through float32 and a few products is this far from one at most.
_ROTATION_TOLERANCE = 1e-3


class Pose:
    """Where a camera stands in the world.

    Attributes:
        world_to_camera: float64 (3, 4), rotation and translation, read-only.

    Args:
        world_to_camera: (3, 4), or (4, 4) whose last row is 0, 0, 0, 1.

    Raises:
        ValueError: another shape, values that are not finite, or a left part that is
            not a rotation.
    """

    world_to_camera: Float64[np.ndarray, "3 4"]

    def __init__(self, world_to_camera: Any):
        given = np.asarray(world_to_camera, np.float64)
        if given.shape == (4, 4) and np.array_equal(given[3], (0, 0, 0, 1)):
            given = given[:3]
        if given.shape != (3, 4):
            raise ValueError(
                f"a pose is an array (3, 4) from world to camera, or (4, 4) with the "
                f"last row 0 0 0 1, not of shape {given.shape}"
            )
        if not np.isfinite(given).all():
            raise ValueError("the pose holds values that are NaN or infinite")
        turn = given[:, :3]
        error = float(np.abs(turn @ turn.T - np.eye(3)).max())
        if error > _ROTATION_TOLERANCE or np.linalg.det(turn) < 0:
            raise ValueError(
                "the left 3x3 part of the pose is not a rotation (it is off by "
                f"{error:.2g}, determinant {np.linalg.det(turn):.3g}); give the "
                "matrix from world to camera, without scale"
            )
        given = given.copy()
        given.setflags(write=False)
        object.__setattr__(self, "world_to_camera", given)

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __reduce__(self):
        return Pose, (np.array(self.world_to_camera),)

    @classmethod
    def identity(cls) -> "Pose":
        """Return the pose of a camera that is the world's own frame."""
        return cls(np.eye(3, 4))

    @property
    def is_identity(self) -> bool:
        """Whether the camera is the world's own frame."""
        return np.array_equal(self.world_to_camera, np.eye(3, 4))

    @property
    def rotation(self) -> Float64[np.ndarray, "3 3"]:
        """World to camera."""
        return self.world_to_camera[:, :3]

    @property
    def translation(self) -> Float64[np.ndarray, "3"]:
        """The world's origin, as the camera sees it."""
        return self.world_to_camera[:, 3]

    @property
    def centre(self) -> Float64[np.ndarray, "3"]:
        """Where the camera stands, in the world."""
        return -self.rotation.T @ self.translation

    @property
    def camera_to_world(self) -> Float64[np.ndarray, "3 4"]:
        """The inverse: camera's axes as columns, then `centre`."""
        return np.concatenate([self.rotation.T, self.centre[:, None]], axis=1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pose):
            return NotImplemented
        return np.array_equal(self.world_to_camera, other.world_to_camera)

    def __hash__(self) -> int:
        return hash(self.world_to_camera.tobytes())

    def __repr__(self) -> str:
        x, y, z = self.centre
        return f"Pose(centre=({x:.4g}, {y:.4g}, {z:.4g}))"


@dataclasses.dataclass(frozen=True)
class PlacedCamera:
    """The camera of one picture among several of one place.

    Attributes:
        intrinsics: in pixels of the picture.
        shape: (height, width) of the picture.
        pose: where it stands; the world's own frame by default.
        name: of the picture, without suffix.
    """

    intrinsics: Intrinsics
    shape: tuple[int, int]
    pose: Pose = dataclasses.field(default_factory=Pose.identity)
    name: str = "photo"


def project(
    points: Float[np.ndarray, "*n 3"], camera: Intrinsics, pose: Pose | None = None
) -> tuple[Float64[np.ndarray, "*n 2"], Float64[np.ndarray, " *n"]]:
    """Return where points appear in a picture, and how far away they are.

    Args:
        points: in the world, or in the camera's frame without a pose.
        camera: of the picture.
        pose: of the camera.

    Returns:
        (column, row) of each point, and its depth along the optical axis; a point with
        depth <= 0 is behind the camera, and its column and row are meaningless.
    """
    points = np.asarray(points, np.float64)
    if pose is not None:
        points = points @ pose.rotation.T + pose.translation
    z = points[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        column = camera.fx * points[..., 0] / z + camera.cx
        row = camera.fy * points[..., 1] / z + camera.cy
    return np.stack([column, row], axis=-1), z


def back_project(
    depth: Float[np.ndarray, "h w"],
    camera: Intrinsics,
    pose: Pose | None = None,
    *,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> Float64[np.ndarray, "h w 3"]:
    """Return the point that each pixel shows.

    Args:
        depth: distance along the optical axis, in any unit.
        camera: of the picture.
        pose: of the camera; without it points are in the camera's frame.
        rows, columns: which of the picture's these are; all when None.

    Returns:
        (h, w, 3) in the world, in the unit of `depth`.
    """
    depth = np.asarray(depth, np.float64)
    rows = np.arange(depth.shape[0]) if rows is None else rows
    columns = np.arange(depth.shape[1]) if columns is None else columns
    x = (columns[None, :] - camera.cx) / camera.fx * depth
    y = (rows[:, None] - camera.cy) / camera.fy * depth
    points = np.stack([x, y, depth], axis=-1)
    if pose is None:
        return points
    return (points - pose.translation) @ pose.rotation
