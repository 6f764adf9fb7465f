"""What a user of transformers writes to turn photos into depth files.

python -m benchmarks.contenders.pipeline PHOTOS OUT MODEL DTYPE SIZE
"""

import sys
from pathlib import Path
from typing import Any


def main(photos: str, out: str, model: str, dtype: str, size: str) -> None:
    """Write one .npy of raw depth, at the photo's size, for each photo."""
    import numpy as np
    import torch
    from transformers import pipeline

    estimate = pipeline("depth-estimation", model=model, dtype=getattr(torch, dtype))
    sides = {"height": int(size), "width": int(size)}
    processor: Any = estimate.image_processor
    processor.size = sides
    Path(out).mkdir()
    for photo in sorted(Path(photos).iterdir()):
        depth = estimate(str(photo))["predicted_depth"]
        np.save(Path(out) / f"{photo.stem}.npy", depth.float().numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
