"""Flicker of depth in a video: the temporal alignment error of Video Depth Anything."""

import numpy as np
from jaxtyping import Bool, Float

from jax_depth.camera import Intrinsics


def temporal_alignment_error(
    depths: Float[np.ndarray, "t h w"],
    masks: Bool[np.ndarray, "t h w"],
    poses: Float[np.ndarray, "t 4 4"],
    camera: Intrinsics,
) -> float:
    """Return TAE: how far depth carried to the next frame is from that frame's own.

    Each frame is moved into its neighbour by the cameras' poses and compared there by
    AbsRel, in both directions, averaged over the pairs, times 100 (Video Depth
    Anything, arXiv:2501.12375, section 4.1; its `benchmark/eval/eval_tae.py`). Two
    deviations from that code, which change a result where surfaces hide each other:
    points behind the camera are dropped, and of points that meet in one pixel the
    nearest stays, not the last.

    Args:
        depths: metres, of one clip, aligned by one fit for all frames.
        masks: where depth is known, and worth comparing.
        poses: camera to world, rigid.
        camera: of all frames; (0, 0) is the centre of the first pixel.

    Raises:
        ValueError: fewer than two frames, or two neighbours that share no pixel; it
            names them.
    """
    if len(depths) < 2:
        raise ValueError(f"TAE compares neighbours; the clip has {len(depths)} frame")
    depths, poses = depths.astype(np.float64), poses.astype(np.float64)
    total = 0.0
    for k in range(len(depths) - 1):
        for one, other in ((k, k + 1), (k + 1, k)):
            motion = np.linalg.inv(poses[other]) @ poses[one]
            moved = _carry(depths[one], masks[one], motion, camera)
            both = np.isfinite(moved) & masks[other] & (depths[other] > 0)
            if not both.any():
                raise ValueError(
                    f"frames {one} and {other} share no pixel with known depth; check "
                    "poses (camera to world, metres) and camera"
                )
            there = depths[other][both]
            total += float(np.mean(np.abs(moved[both] - there) / there))
    return 100 * total / (2 * (len(depths) - 1))


def _carry(depth, mask, motion, camera: Intrinsics) -> Float[np.ndarray, "h w"]:
    """Return one frame's depth as another sees it; infinity where nothing falls."""
    rows, columns = np.nonzero(mask & (depth > 0))
    z = depth[rows, columns]
    x = (columns - camera.cx) / camera.fx * z
    y = (rows - camera.cy) / camera.fy * z
    x, y, z = motion[:3, :3] @ np.stack([x, y, z]) + motion[:3, 3:]
    ahead = z > 0
    x, y, z = x[ahead], y[ahead], z[ahead]
    column = np.rint(x / z * camera.fx + camera.cx)
    row = np.rint(y / z * camera.fy + camera.cy)
    height, width = depth.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    seen = np.full(depth.shape, np.inf)
    at = row[inside].astype(int), column[inside].astype(int)
    np.minimum.at(seen, at, z[inside])
    return seen
