"""Measure how consistent in time a clip model is, on a rendered clip.

    python scripts/video_consistency.py --model video-depth-anything-small

The clip is the room of `video_flicker.py`, whose depth and cameras are known: 150
frames with a still camera and 150 with a moving one. For each way of computing it, this
prints `still` and `tae` as that script does, with one range for the whole clip, and

- drift: how far scale and shift move from the first 30 frames to the last 30, see
  `jax_depth.evaluation.temporal`;
- milliseconds: processor time per frame, over all threads.

The ways are "frame", each frame by itself; "windows", "windows, exact" and "stream" of
`Estimator.clip`; and "frame" and "steadied" for models of single pictures.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jax_depth.evaluation.temporal import drift
from jax_depth.models.architectures import sees_clips

try:
    from scripts.video_flicker import RenderedClip, flicker, floor, open_model, render
except ModuleNotFoundError:  # run by its path
    from video_flicker import RenderedClip, flicker, floor, open_model, render

HALF = 150  # frames
END = 30  # frames at either end of the clip, between which drift is measured
_FARTHEST = 10.0


def ways_of(estimator: Any) -> dict[str, Callable[[Iterable[Any]], Iterator[Any]]]:
    """Return way -> function from frames to their maps, in order."""

    def each(frames):
        return map(estimator, frames)

    if not sees_clips(estimator.config):
        return {"frame": each, "steadied": estimator.clip}
    return {
        "frame": each,
        "windows": estimator.clip,
        "windows, exact": lambda frames: estimator.clip(frames, stitch="exact"),
        "stream": lambda frames: estimator.clip(frames, streaming=True),
    }


def consistency(
    clip: RenderedClip, maps: np.ndarray, end: int = END
) -> dict[str, float]:
    """Return "still", "tae" and "drift" of maps of inverse depth, in per cent.

    Args:
        clip: the truth.
        maps: of all its frames, in any scale.
        end: frames at either end that drift compares.
    """
    spread = max(float(np.ptp(maps)), 1e-12)
    found = flicker(clip, maps, (maps - maps.min()) / spread)
    moved = drift(maps, clip.depths, clip.room, end, _FARTHEST)
    return found | {"drift": moved}


def measured(way: Callable, frames: Iterable[Any], metres: bool):
    """Return maps of inverse depth, and the milliseconds that one took.

    The first frames, during which programs are compiled, are computed beforehand.
    """
    list(way(itertools.islice(frames, 2)))
    start = time.process_time()
    maps = np.array([depth.values for depth in way(frames)])
    taken = 1e3 * (time.process_time() - start) / len(maps)
    return (1 / np.maximum(maps, 1e-3) if metres else maps), taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="video-depth-anything-small")
    parser.add_argument("--size", type=int)
    parser.add_argument("--half", type=int, default=HALF, help="frames of each half")
    parser.add_argument("--ways", nargs="+", help="some of them only")
    parser.add_argument("--random", action="store_true", help="random weights")
    args = parser.parse_args()
    clip = render(args.half)
    estimator = open_model(args.model, args.size, args.random)
    metres = estimator.config.kind == "metric_depth"
    rows = {}
    for name, way in ways_of(estimator).items():
        if args.ways is None or name in args.ways:
            maps, taken = measured(way, clip.pictures, metres)
            end = min(END, args.half)
            rows[name] = consistency(clip, maps, end) | {"milliseconds": taken}
    print(json.dumps({"ways": rows, "truth": {"tae": floor(clip)}}, indent=2))


if __name__ == "__main__":
    main()
