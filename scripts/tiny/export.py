"""Write the averaged weights of a run as the bundled model.

    python scripts/tiny/export.py --workdir RUN --stem stem.safetensors

Goes to jax_depth/assets/tiny/ as config.json and model.safetensors, float16 on
disk; MODEL_CARD.md beside them is written by hand.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from judge import ASSETS
from recipe import CONFIG
from train import Run, parse_arguments

from jax_depth import checkpoint
from jax_depth.checkpoint import flatten

LIMIT = 16 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--stem", required=True)
    parser.add_argument("--target", type=Path, default=ASSETS)
    arguments = parser.parse_args()
    options = ["--workdir", str(arguments.workdir), "--stem", arguments.stem]
    run = Run(parse_arguments(["--data", "", "--steps", "100000", *options]))
    step = int(run.state.step)
    if not step:
        raise SystemExit(f"{arguments.workdir} holds no checkpoint; run train.py first")
    params = run.state.params()
    arguments.target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # Not straight into the target, where the model card lies: `save` replaces
        # a directory as a whole and refuses one that holds anything else.
        new = Path(folder) / "tiny"
        checkpoint.save(new, params, CONFIG, dtype="float16")
        for name in (checkpoint.CONFIG, checkpoint.WEIGHTS):
            shutil.copyfile(new / name, arguments.target / name)
    size = (arguments.target / checkpoint.WEIGHTS).stat().st_size
    count = sum(np.size(x) for x in flatten(params).values())
    print(f"{arguments.target}: step {step}, {count:,} parameters, {size:,} bytes")
    assert size <= LIMIT, f"{size} bytes are more than the {LIMIT} allowed"


if __name__ == "__main__":
    main()
