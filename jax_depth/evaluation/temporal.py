"""How steady depth of a clip is, beside known depth and cameras.

Flicker is the temporal alignment error of Video Depth Anything; drift is what happens
to scale and shift over a long clip.
"""

import numpy as np
from jaxtyping import Bool, Float

from jax_depth.alignment import fit
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


def drift(
    maps: Float[np.ndarray, "t h w"],
    depths: Float[np.ndarray, "t h w"],
    masks: Bool[np.ndarray, "t h w"],
    count: int = 30,
    max_depth: float = 80.0,
) -> float:
    """Return how far a clip's scale and shift move between its first and last frames.

    The last frames are brought to metres twice: by the scale and shift that fit their
    own truth best, and by those that fit that of the first frames. The mean relative
    difference of both, in per cent: 0 where scale and shift stay, whatever else is
    wrong; 9.1 where inverse depth has grown by a tenth.

    Args:
        maps: inverse depth as the model gave it, of one clip.
        depths: the truth in metres.
        masks: where it is known, and worth comparing.
        count: frames at each end.
        max_depth: metres, where a fit would lead beyond.

    Raises:
        ValueError: fewer than twice `count` frames, or ends of which nothing is known.
    """
    if len(maps) < 2 * count:
        raise ValueError(
            f"drift compares the first {count} frames with the last {count}; the clip "
            f"has {len(maps)}"
        )
    metres = []
    last = maps[-count:][masks[-count:]].astype(np.float64)
    for end in (slice(count), slice(-count, None)):
        known = masks[end]
        if not known.any():
            raise ValueError("no depth is known at one end of the clip")
        truth = 1 / depths[end][known].astype(np.float64)
        found = maps[end][known].astype(np.float64)
        scale, shift = fit(found, truth, "scale_shift")
        metres.append(1 / np.maximum(scale * last + shift, 1 / max_depth))
    by_first, by_last = metres
    return 100 * float(np.mean(np.abs(by_first - by_last) / by_last))
