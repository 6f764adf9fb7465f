"""Published depth of one photo: the top-left 3x3 pixels, by model.

Of COCO val2017 000000039769 at 518x686 through transformers' preprocessing, to 1e-4
(transformers, `convert_depth_anything_to_hf.py`).
"""

import json
from pathlib import Path

PUBLISHED_SLICES = json.loads(
    (Path(__file__).parent / "golden" / "published_slices.json").read_text()
)
