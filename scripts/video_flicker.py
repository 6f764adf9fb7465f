"""Measure how much the depth of a video flickers, on a clip whose depth is known.

    python scripts/video_flicker.py --model tiny

A textured room is ray-traced in NumPy, with exact depth and camera poses, while a ball
flies back and forth close to the camera. The camera stands still in the first half and
moves in the second. For each way of choosing the range of the pictures this prints

- still: standard deviation over time of pixels whose depth never changes, in the first
  half, as a percentage of the spread of the picture;
- tae: temporal alignment error of the second half without the ball, after one fit of
  scale and shift to the truth for all its frames, see `jax_depth.evaluation.temporal`;

and what placing a frame costs compared with computing it.
"""

import argparse
import json
import time
from typing import Any, NamedTuple

import numpy as np

from jax_depth.alignment import fit
from jax_depth.camera import Intrinsics
from jax_depth.evaluation.temporal import temporal_alignment_error
from jax_depth.video.blend import Blend
from jax_depth.video.frames import Frame
from jax_depth.video.stabilize import Stream

SIZE = (180, 240)
NOISE = 3.0  # standard deviation, of 256 levels: a camera's
HALF = 30  # frames
_PASS = 15  # frames that the ball takes to cross the picture and come back
_ROOM = np.array([[-2.0, -1.3, -1.0], [2.0, 1.3, 6.0]])  # metres, x right, y down
_FARTHEST = 10.0


class RenderedClip(NamedTuple):
    """A clip with its ground truth.

    Attributes:
        pictures: uint8 (t, h, w, 3).
        depths: metres along the optical axis, float64 (t, h, w).
        room: bool (t, h, w), where the ball is not.
        poses: camera to world, (t, 4, 4).
        camera: of all frames.
    """

    pictures: np.ndarray
    depths: np.ndarray
    room: np.ndarray
    poses: np.ndarray
    camera: Intrinsics


def render(
    half: int = HALF, size: tuple[int, int] = SIZE, radius: float = 0.1
) -> RenderedClip:
    """Return the clip: `half` frames with a still camera, then as many moving.

    Args:
        half: frames.
        size: rows and columns.
        radius: of the ball, in metres; it is 1 m away.
    """
    height, width = size
    camera = Intrinsics(0.8 * width, 0.8 * width, (width - 1) / 2, (height - 1) / 2)
    rows, columns = np.indices(size, dtype=np.float64)
    rays = np.stack(
        [
            (columns - camera.cx) / camera.fx,
            (rows - camera.cy) / camera.fy,
            np.ones(size),
        ],
        -1,
    )
    rng = np.random.default_rng(0)
    pictures, depths, rooms, poses = [], [], [], []
    for k in range(2 * half):
        share = max(0, k - half + 1) / half
        pose = _pose(share)
        across = 1.3 * np.sin(2 * np.pi * k / _PASS)
        ball = pose[:3, :3] @ [across, 0.2, 1.0] + pose[:3, 3]
        color, depth, room = _trace(rays @ pose[:3, :3].T, pose[:3, 3], ball, radius)
        noise = rng.normal(0, NOISE, color.shape)
        pictures.append(np.clip(color + noise, 0, 255).astype(np.uint8))
        depths.append(depth)
        rooms.append(room)
        poses.append(pose)
    stacked = map(np.array, (pictures, depths, rooms, poses))
    return RenderedClip(*stacked, camera)


def _pose(share: float) -> np.ndarray:
    """Return the camera part of the way along its path: right, ahead, turning left."""
    angle = -0.15 * share
    pose = np.eye(4)
    cos, sin = np.cos(angle), np.sin(angle)
    pose[:3, :3] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
    pose[:3, 3] = [0.5 * share, 0.05 * share, 0.8 * share]
    return pose


def _trace(rays: np.ndarray, origin: np.ndarray, ball: np.ndarray, radius: float):
    """Return uint8 colours, depth, and where the ball is not.

    `rays` reach one metre along the optical axis.
    """
    with np.errstate(divide="ignore"):
        walls = np.where(rays > 0, _ROOM[1], _ROOM[0])
        distance = (walls - origin) / rays
    depth, side = distance.min(-1), distance.argmin(-1)
    # A table in the room, so that there are edges: a box seen from outside.
    table = np.array([[0.3, 0.35, 2.4], [1.3, 1.3, 3.2]])
    with np.errstate(divide="ignore"):
        near = (np.where(rays > 0, table[0], table[1]) - origin) / rays
        far = (np.where(rays > 0, table[1], table[0]) - origin) / rays
    enter, leave = near.max(-1), far.min(-1)
    hit = (enter < leave) & (enter > 0) & (enter < depth)
    depth, side = np.where(hit, enter, depth), np.where(hit, 3 + near.argmax(-1), side)
    offset = origin - ball
    a, b = (rays * rays).sum(-1), (rays * offset).sum(-1)
    root = b * b - a * (offset @ offset - radius**2)
    front = (-b - np.sqrt(np.maximum(root, 0))) / a
    seen = (root > 0) & (front > 0) & (front < depth)
    depth, side = np.where(seen, front, depth), np.where(seen, 6, side)
    return _paint(origin + rays * depth[..., None], side), depth, ~seen


def _paint(points: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return colours of points on surfaces: tiles, grain, and light from above."""
    tints = np.array(
        [
            *[[0.75, 0.6, 0.5], [0.55, 0.55, 0.5], [0.5, 0.6, 0.75]],
            *[[0.5, 0.3, 0.2], [0.6, 0.4, 0.25], [0.4, 0.25, 0.15], [0.9, 0.3, 0.2]],
        ]
    )
    tiles = np.floor(points * 2.5).sum(-1) % 2
    grain = np.sin(points @ [23.0, 31.0, 17.0]) * np.sin(points @ [11.0, -7.0, 29.0])
    light = 0.9 - 0.12 * points[..., 1] - 0.06 * points[..., 2]
    shade = light * (0.8 + 0.2 * tiles + 0.06 * grain)
    color = tints[side] * shade[..., None]
    return (np.clip(color, 0, 1) * 255).astype(np.uint8)


def ways(values: np.ndarray, pictures: np.ndarray) -> dict[str, tuple[Any, Any]]:
    """Return way -> (maps, levels in 0 to 1) for every choice of the range.

    Args:
        values: of the model, float32 (t, h, w).
        pictures: uint8 (t, h, w, 3).
    """
    low, high = (end(values, axis=(1, 2), keepdims=True) for end in (np.min, np.max))
    own = (values - low) / (high - low)
    stream = Stream()
    placed = [stream.place(v, p) for v, p in zip(values, pictures, strict=True)]
    scale, shift, low, high = (
        np.array([getattr(one, name) for one in placed], np.float32)[:, None, None]
        for name in ("scale", "shift", "low", "high")
    )
    aligned = scale * values + shift
    blend = Blend()
    shown = np.array(
        [
            blend.mix(v, p, one.cut)
            for v, p, one in zip(aligned, pictures, placed, strict=True)
        ]
    )
    whole = (values - values.min()) / np.ptp(values)
    return {
        "frame": (own, own),
        "clip": (values, whole),
        "stream, --smooth 0": (aligned, np.clip((aligned - low) / (high - low), 0, 1)),
        "stream": (shown, np.clip((shown - low) / (high - low), 0, 1)),
    }


def flicker(clip: RenderedClip, maps: np.ndarray, levels: np.ndarray) -> dict[str, Any]:
    """Return `still` in per cent and `tae` of maps of inverse depth.

    Args:
        clip: the truth.
        maps: of all its frames, in any scale.
        levels: as shown.
    """
    half = len(maps) // 2
    still = clip.room[:half].all(0)
    spread = levels[:half].std(axis=(1, 2)).mean()
    wobble = levels[:half, still].std(axis=0).mean()
    second, room = maps[half:].astype(np.float64), clip.room[half:]
    truth = 1 / clip.depths[half:]
    scale, shift = fit(second[room], truth[room], "scale_shift")
    depth = 1 / np.maximum(scale * second + shift, 1 / _FARTHEST)
    tae = temporal_alignment_error(depth, room, clip.poses[half:], clip.camera)
    return {"still": float(100 * wobble / spread), "tae": float(tae)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size", type=int)
    parser.add_argument("--half", type=int, default=HALF, help="frames of each half")
    parser.add_argument("--radius", type=float, default=0.1, help="of the ball")
    parser.add_argument("--random", action="store_true", help="random weights")
    parser.add_argument("--video", help="also write the clip to this file")
    args = parser.parse_args()
    clip = render(args.half, radius=args.radius)
    if args.video:
        from jax_depth.video.writing import VideoWriter

        with VideoWriter(args.video, 15) as writer:
            for k, picture in enumerate(clip.pictures):
                writer.write(picture, k / 15)
    estimator = open_model(args.model, args.size, args.random)
    values, seconds = _infer(estimator, clip)
    rows = {
        way: flicker(clip, *found) for way, found in ways(values, clip.pictures).items()
    }
    document = {"ways": rows, "truth": {"tae": floor(clip)}}
    document["milliseconds"] = seconds | {"place": _cost(values, clip.pictures)}
    print(json.dumps(document, indent=2))


def open_model(name: str, size: int | None, random: bool) -> Any:
    import jax

    import jax_depth

    if not random:
        return jax_depth.load(name, size=size)
    config = jax_depth.MODELS[name].config
    params = jax_depth.init(config, jax.random.key(0))
    return jax_depth.Estimator(params, config, size=size)


def _infer(estimator: Any, clip: RenderedClip):
    """Return maps at the frames' size, and the median milliseconds of one."""
    maps, taken = [], []
    for k, picture in enumerate(clip.pictures):
        frame = Frame(picture, float(k))
        start = time.perf_counter()
        output = estimator.run(estimator.prepare(frame.pixels))
        values = np.asarray(output.depth)[0]
        taken.append(time.perf_counter() - start)
        maps.append(estimator.depth_map(values, picture.shape[:2]).values)
    return np.array(maps), {"infer": 1e3 * float(np.median(taken))}


def _cost(values: np.ndarray, pictures: np.ndarray) -> float:
    stream, blend, taken = Stream(), Blend(), []
    for value, picture in zip(values, pictures, strict=True):
        start = time.perf_counter()
        placed = stream.place(value, picture)
        value = np.float32(placed.scale) * value + np.float32(placed.shift)
        blend.mix(value, picture, placed.cut)
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken))


def floor(clip: RenderedClip) -> float:
    """Return the TAE of the truth itself: rounding to pixels, and hidden surfaces."""
    half = len(clip.depths) // 2
    return temporal_alignment_error(
        clip.depths[half:], clip.room[half:], clip.poses[half:], clip.camera
    )


if __name__ == "__main__":
    main()
