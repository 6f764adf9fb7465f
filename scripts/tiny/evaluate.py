"""Score `tiny` on held-out frames and on photos, and draw its maps of photos.

    python scripts/tiny/evaluate.py --data DATA [--model DIRECTORY] [--size 224]
    python scripts/tiny/evaluate.py --points PAIRS/heldout
    python scripts/tiny/evaluate.py --photos coffee.png china.jpg --montage out.jpg

Scores are after alignment of scale and shift in disparity, and come with those of the
baseline "lower is nearer". `scripts/motorcycle.py` scores a photo with measured depth,
`--points` the rank correlation with the estimated distances that `photos.py` writes.

`judged.json` holds the distances of some forty points in each of the model card's
photos, as a viewer estimates them. A map is called right if its rank correlation with
them is at least 0.75.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from jax_depth import Estimator, checkpoint
from jax_depth.data.pairs import Pairs
from jax_depth.data.rendered import Rendered
from jax_depth.evaluation import evaluate, spearman
from jax_depth.outputs.colormap import colormap
from jax_depth.training.held_out import evaluate_held_out

ASSETS = Path(__file__).parents[2] / "jax_depth/assets/tiny"
JUDGED = Path(__file__).with_name("judged.json")
MAX_DEPTH = 80.0
RIGHT = 0.75


def ramp(shape: tuple[int, int]) -> np.ndarray:
    """Return the baseline that looks at nothing: lower is nearer."""
    h, w = shape
    return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (h, w))


def ramp_on_frames(frames: Rendered) -> dict[str, float]:
    """Return the baseline's mean metrics over held-out frames."""
    results = []
    for i in range(len(frames)):
        disparity, mask = frames[i].inverse_depth()
        mask = mask & (disparity > 0)
        depth = 1 / np.where(mask, disparity, np.float32(1))
        results.append(evaluate(ramp(depth.shape), depth, mask, max_depth=MAX_DEPTH))
    return {k: float(np.mean([r[k] for r in results])) for k in results[0]}


def at_points(disparity: np.ndarray, points: list[list[float]]) -> float:
    """Return the rank correlation of a map with what a viewer saw.

    Args:
        disparity: (h, w), larger is nearer.
        points: x and y as shares of width and height, and the distance; null is sky.
    """
    h, w = disparity.shape
    at = [disparity[int(y * h), int(x * w)] for x, y, _ in points]
    seen = [0 if distance is None else 1 / distance for _, _, distance in points]
    return spearman(np.array(at), np.array(seen, float))


def colour(disparity: np.ndarray) -> np.ndarray:
    """Return a picture of a map to look at, near red and far blue."""
    low, high = np.percentile(disparity, (1, 99))
    level = np.clip((disparity - low) / max(high - low, 1e-6), 0, 1)
    return colormap("Spectral_r")[(level * 255).astype(np.uint8)]


def montage(pairs: list[tuple[np.ndarray, np.ndarray]], target: Path) -> None:
    """Write pictures above their maps, four to a row, each 240 pixels wide."""
    cells = []
    for rgb, disparity in pairs:
        stack = np.concatenate([rgb, colour(disparity)])
        height = round(stack.shape[0] * 240 / stack.shape[1])
        cells.append(np.asarray(Image.fromarray(stack).resize((240, height))))
    rows = []
    for start in range(0, len(cells), 4):
        group = cells[start : start + 4]
        height = max(c.shape[0] for c in group)
        group += [np.zeros((0, 240, 3), np.uint8)] * (4 - len(group))
        margins = [((0, height - len(c)), (0, 0), (0, 0)) for c in group]
        pad = [
            np.pad(c, m, constant_values=255)
            for c, m in zip(group, margins, strict=True)
        ]
        rows.append(np.concatenate(pad, 1))
    Image.fromarray(np.concatenate(rows)).save(target)


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Return metrics as text."""
    return {name: round(float(value), 4) for name, value in metrics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ASSETS)
    parser.add_argument(
        "--size", type=int, help="short side in pixels (default: the model's own)"
    )
    parser.add_argument("--data", help="folder of the renderer")
    parser.add_argument("--points", help="folder of photos.py")
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--montage", type=Path, default=Path("montage.png"))
    arguments = parser.parse_args()
    params, config = checkpoint.load(arguments.model)
    size = arguments.size or config.image_size

    if arguments.data:
        frames = Rendered(arguments.data, "heldout")
        found, _ = evaluate_held_out(params, config, frames, len(frames), size)
        print("held out:", rounded(found))
        print("held out, lower is nearer:", rounded(ramp_on_frames(frames)))
    pairs, estimator = [], Estimator(params, config, size=size)
    if arguments.points:
        rows = []
        for sample in Pairs(arguments.points):
            there = sample.target[sample.mask]
            maps = estimator(sample.rgb).values, ramp(sample.mask.shape)
            rows.append([spearman(values[sample.mask], there) for values in maps])
        found, baseline = np.mean(rows, 0)
        print(f"points: {found:.3f}, lower is nearer: {baseline:.3f} ({len(rows)})")
    judged, right = json.loads(JUDGED.read_text()), []
    for path in arguments.photos:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        disparity = estimator(rgb).values
        pairs.append((rgb, disparity))
        if points := judged.get(path.name):
            found = at_points(disparity, points)
            baseline = at_points(ramp(disparity.shape), points)
            right.append(found >= RIGHT)
            print(f"{path.name}: {found:.2f}, lower is nearer: {baseline:.2f}")
    if right:
        print(f"right: {sum(right)} of {len(right)}")
    if pairs:
        montage(pairs, arguments.montage)


if __name__ == "__main__":
    main()
