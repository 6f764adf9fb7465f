"""Make a run's model the bundled one.

    python scripts/tiny/export.py RUN --data DATA

Writes config.json, model.safetensors (float16 on disk) and training_log.csv to
jax_depth/assets/tiny/; MODEL_CARD.md beside them is written by hand.
"""

import argparse
import csv
import json
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jax_depth import MODELS, checkpoint
from jax_depth.checkpoint import flatten
from jax_depth.data.rendered import Rendered
from jax_depth.models.depth_anything import raw_output
from jax_depth.training.journal import LOG
from jax_depth.training.step import normalize_rgb

ASSETS = Path(__file__).parents[2] / "jax_depth/assets/tiny"
CONFIG = MODELS["tiny"].config
LIMIT = 16 << 20
COLUMNS = (
    "loss",
    "labelled/affine_invariant",
    "labelled/gradient",
    "gradient_norm",
    "images_per_second_per_device",
)
# The same of every held-out set, which may have a name: `held_out/NAME/d1`.
HELD_OUT = ("abs_rel", "d1", "spearman")
_raw = jax.jit(raw_output, static_argnums=2)


def lift(params: dict, frames: Rendered, count: int = 100, quantile: float = 1e-3):
    """Raise the last bias until the final ReLU cuts hardly any pixel off.

    The shift of a relative model is free, and the loss looks at the output before
    its ReLU. All but `quantile` of the pixels of `count` training frames end up
    at 0 or above.
    """
    lows = []
    for i in range(0, len(frames), max(1, len(frames) // count)):
        rgb = frames[i].rgb[None, :224, :224]
        pixels = normalize_rgb(jnp.asarray(rgb), CONFIG)
        lows.append(np.asarray(_raw(params, pixels, CONFIG)).ravel())
    lowest = float(np.quantile(np.concatenate(lows), quantile))
    params["head"]["output_conv3"]["bias"] -= min(lowest, 0.0)
    print(f"quantile {quantile} of the raw output: {lowest:.3f}")


def write_log(run: Path, target: Path) -> None:
    """Write a run's log as a table: one row per logged step, blank where unknown."""
    rows: dict[int, dict[str, float]] = {}
    for text in (run / LOG).read_text(encoding="utf-8").splitlines():
        values = json.loads(text)
        if "step" in values:
            rows.setdefault(values["step"], {}).update(values)
    names = sorted(
        name
        for name in set().union(*rows.values())
        if name.startswith("held_out/") and name.rpartition("/")[2] in HELD_OUT
    )
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *COLUMNS, *names])
        for step, row in sorted(rows.items()):
            found = (row.get(name) for name in (*COLUMNS, *names))
            writer.writerow([step, *("" if x is None else f"{x:.4g}" for x in found)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "run", type=Path, help="the folder that `jax-depth train` wrote"
    )
    parser.add_argument("--data", required=True, help="folder of the renderer")
    parser.add_argument("--target", type=Path, default=ASSETS)
    arguments = parser.parse_args()
    loaded, _ = checkpoint.load(arguments.run)
    params = jax.tree.map(lambda leaf: np.array(leaf, np.float32), loaded)
    lift(params, Rendered(arguments.data))
    arguments.target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # Not straight into the target, which also holds the model card: `save` replaces
        # a whole directory and refuses one with anything else in it.
        new = Path(folder) / "tiny"
        checkpoint.save(new, params, CONFIG, dtype="float16")
        for name in (checkpoint.CONFIG, checkpoint.WEIGHTS):
            shutil.copyfile(new / name, arguments.target / name)
    write_log(arguments.run, arguments.target / "training_log.csv")
    size = (arguments.target / checkpoint.WEIGHTS).stat().st_size
    count = sum(np.size(x) for x in flatten(params).values())
    print(f"{arguments.target}: {count:,} parameters, {size:,} bytes")
    assert size <= LIMIT, f"{size} bytes, more than the {LIMIT} allowed"


if __name__ == "__main__":
    main()
