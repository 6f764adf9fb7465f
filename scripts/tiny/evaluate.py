"""Figures of `tiny`: held-out frames, a real photo with ground truth, pictures.

    python scripts/tiny/evaluate.py --data DATA [--model DIRECTORY] [--size 224]
    python scripts/tiny/evaluate.py --motorcycle skimage/data
    python scripts/tiny/evaluate.py --photos coffee.png china.jpg --montage out.png

`--motorcycle` takes the folder of motorcycle_left.png and motorcycle_disp.npz
(Middlebury 2014, Scharstein et al.), which the scikit-image 0.16.2 wheel carries.
Every figure is after scale and shift alignment in disparity; beside it stands the
baseline "the lower, the nearer".
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from jax_depth import checkpoint
from jax_depth.data.rendered import Rendered
from jax_depth.evaluation import evaluate
from jax_depth.outputs.colormap import colormap
from jax_depth.training.held_out import evaluate_held_out, predict

ASSETS = Path(__file__).parents[2] / "jax_depth/assets/tiny"
MAX_DEPTH = 80.0
# Motorcycle at the size of the wheel: pixels, metres, pixels.
FOCAL, BASELINE, DOFFS = 994.978, 0.193001, 31.086


def ramp(shape: tuple[int, int]) -> np.ndarray:
    """Return the baseline that knows nothing: the lower, the nearer."""
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


def motorcycle(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return picture, depth in metres and mask; Z = f b / (d + doffs)."""
    rgb = np.asarray(Image.open(folder / "motorcycle_left.png").convert("RGB"))
    with np.load(folder / "motorcycle_disp.npz") as archive:
        shift = archive["arr_0"].astype(np.float64)
    mask = np.isfinite(shift) & (shift > 0)
    return rgb, FOCAL * BASELINE / (np.where(mask, shift, 1) + DOFFS), mask


def colour(disparity: np.ndarray) -> np.ndarray:
    """Return a picture of a map, near red and far blue, for looking."""
    low, high = np.percentile(disparity, (1, 99))
    level = np.clip((disparity - low) / max(high - low, 1e-6), 0, 1)
    return colormap("Spectral_r")[(level * 255).astype(np.uint8)]


def montage(pairs: list[tuple[np.ndarray, np.ndarray]], target: Path) -> None:
    """Write pictures above their maps, four a row, 240 pixels wide each."""
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
        pad = [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0))) for c in group]
        rows.append(np.concatenate(pad, 1))
    Image.fromarray(np.concatenate(rows)).save(target)


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Return metrics as one reads them."""
    return {name: round(float(value), 4) for name, value in metrics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ASSETS)
    parser.add_argument("--size", type=int, help="short side; default the model's")
    parser.add_argument("--data", help="folder of the renderer")
    parser.add_argument("--motorcycle", type=Path)
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
    if arguments.motorcycle:
        rgb, depth, mask = motorcycle(arguments.motorcycle)
        pred = predict(params, config, rgb, size)
        print("motorcycle:", rounded(evaluate(pred, depth, mask)))
        found = evaluate(ramp(mask.shape), depth, mask)
        print("motorcycle, lower is nearer:", rounded(found))
    pairs = []
    for path in arguments.photos:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        pairs.append((rgb, predict(params, config, rgb, size)))
    if pairs:
        montage(pairs, arguments.montage)


if __name__ == "__main__":
    main()
