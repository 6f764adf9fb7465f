"""Label a folder of photos with Ray Data: actors hold the teacher, labels come out.

    pip install 'jax_depth[train]' 'ray[data]'
    python label_with_ray.py photos labels --model depth-anything-v2-large --workers 2
    jax-depth train v2-student --pseudo labels:labels --workdir runs/student

The photos are cut into parts, and an actor that is free takes the next one. Each part
is written as `jax-depth label --shard I/N` writes it: the same command continues a run
that was stopped, and an actor that dies loses no label it has written. Photos that
cannot be read are named and counted. Every node must see both folders under the same
path.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import ray

import jax_depth
from jax_depth.cli.labelling import Labelling
from jax_depth.cli.usage import UsageError
from jax_depth.data.sample import DatasetError

COUNTS = ("total", "labelled", "failed")


class Teacher:
    """An actor: the model is loaded once, then part after part goes through it."""

    def __init__(self, model: str, photos: str, labels: Path, parts: int):
        self.estimator = jax_depth.load(model)
        self.photos, self.labels, self.parts = photos, labels, parts

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        done = [self.label(int(part)) for part in batch["item"]]
        return {name: np.array([getattr(d, name) for d in done]) for name in COUNTS}

    def label(self, part: int) -> Labelling:
        labelling = Labelling(self.photos, self.labels, (part, self.parts))
        if labelling.todo:
            labelling.run(self.estimator, quiet=True)
        labelling.finish()
        return labelling


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--workers", type=int, default=2, help="actors")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each actor")
    parser.add_argument(
        "--parts", type=int, default=64, help="keep the number to continue a run"
    )
    args = parser.parse_args()

    # Nodes may start their processes in other folders.
    photos, labels = args.photos.resolve(), args.labels.resolve()
    try:
        Labelling(str(photos), labels, (0, args.parts))
    except (UsageError, DatasetError) as error:
        parser.error(str(error))
    results = ray.data.from_items(list(range(args.parts))).map_batches(
        Teacher,
        fn_constructor_args=(args.model, str(photos), labels, args.parts),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=args.workers),
        num_gpus=args.gpus,
    )
    sums = dict.fromkeys(COUNTS, 0)
    for row in results.iter_rows():
        sums = {name: sums[name] + int(row[name]) for name in COUNTS}
    print("{labelled} of {total} labelled, {failed} failed".format(**sums))
    return 1 if sums["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
