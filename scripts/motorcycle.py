"""Score `tiny` on the one photo with measured depth, using `jax-depth eval`.

    pip download scikit-image==0.16.2 --no-deps --only-binary=:all: --python-version 3.8
    unzip scikit_image-0.16.2-*.whl 'skimage/data/motorcycle_*'
    python scripts/motorcycle.py skimage/data [--model tiny] [--write]

The photo is Middlebury 2014's Motorcycle (Scharstein et al.), at the size in which that
wheel ships it. Prints one row of a table; `--write` also puts it into README.md,
between the `<!-- motorcycle -->` marks. The baseline beside the model takes whatever is
lower in the picture to be nearer.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from jax_depth.cli.main import main as jax_depth_command
from jax_depth.evaluation import evaluate

README = Path(__file__).parents[1] / "README.md"
# Of the camera at this size: pixels, metres, pixels.
FOCAL, BASELINE, DOFFS = 994.978, 0.193001, 31.086
# What the table calls the baseline.
RAMP = "baseline: the lower in the picture, the nearer"
METRICS = ("abs_rel", "d1", "spearman", "rmse")


def write_pair(source: Path, target: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write photo, depth in metres and manifest; return depth and mask.

    Args:
        source: folder of motorcycle_left.png and motorcycle_disp.npz.
        target: an existing folder.
    """
    with np.load(source / "motorcycle_disp.npz") as archive:
        shift = archive["arr_0"].astype(np.float64)
    mask = np.isfinite(shift) & (shift > 0)
    depth = np.where(mask, FOCAL * BASELINE / (np.where(mask, shift, 1) + DOFFS), 0)
    with Image.open(source / "motorcycle_left.png") as picture:
        picture.convert("RGB").save(target / "motorcycle.png")
    np.save(target / "motorcycle.npy", depth.astype(np.float32))
    rows = "image,depth,kind,unit,invalid\nmotorcycle.png,motorcycle.npy,metric_depth,"
    (target / "pairs.csv").write_text(f"{rows}m,0\n")
    return depth, mask


def figures(source: Path, model: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the metrics of a model and of the baseline.

    Raises:
        SystemExit: the evaluation failed and has already said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        depth, mask = write_pair(source, target)
        words = ["eval", "own", "--data", f"pairs:{target / 'pairs.csv'}"]
        words += ["--model", model, "-o", str(target / "out"), "--worst", "0"]
        if code := jax_depth_command(words):
            raise SystemExit(code)
        found = json.loads((target / "out" / "summary.json").read_text())["means"]
    ramp = np.broadcast_to(np.linspace(0, 1, len(depth))[:, None], depth.shape)
    return found, evaluate(ramp, depth, mask)


def row(name: str, metrics: dict[str, float]) -> str:
    """Return a line of the table."""
    cells = " | ".join(f"{metrics[metric]:.3f}" for metric in METRICS)
    return f"| {name} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found, baseline = figures(arguments.data, arguments.model)
    table = "\n".join(
        (
            "| Motorcycle, aligned in disparity "
            "| AbsRel ↓ | δ1 ↑ | Spearman ↑ | RMSE, m ↓ |",
            "| --- | --- | --- | --- | --- |",
            row(f"`{arguments.model}`", found),
            row(RAMP, baseline),
        )
    )
    print(table)
    if arguments.write:
        text = README.read_text(encoding="utf-8")
        mark = "<!-- motorcycle -->"
        pattern = f"{mark}.*?{mark}"
        block = f"{mark}\n{table}\n{mark}"
        if not re.search(pattern, text, re.DOTALL):
            raise SystemExit(f"README.md has no {mark} … {mark}")
        README.write_text(re.sub(pattern, lambda _: block, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
