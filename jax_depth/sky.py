"""What is sky, and a depth for it that a viewer can show.

Upstream: ByteDance-Seed/Depth-Anything-3 `model/da3.py`
(`_process_mono_sky_estimation`, `_handle_sky_regions`).
"""

import numpy as np
from jaxtyping import Float32

# Of a pixel that is called sky, in Depth Anything 3's own code.
SKY = 0.3
# Of several views in metres sky is put no farther than this, as there.
FARTHEST_SKY = 200.0
# A map with sky or ground of fewer pixels stays as it is, as there.
_FEW = 10
_QUANTILE = 0.99


def fill_sky(
    values: Float32[np.ndarray, "h w"],
    sky: Float32[np.ndarray, "h w"],
    farthest: float | None = None,
) -> Float32[np.ndarray, "h w"]:
    """Return depth whose sky lies at the 99th percentile of all else.

    Upstream takes one percentile for all pictures of a call, of a random sample where
    they are large, so that a picture's sky depends on its neighbours. Here it is that
    of the picture, of every pixel.

    Args:
        values: depth, larger is farther; NaN where unknown stays so.
        sky: sky where it is 0.3 or more.
        farthest: the sky is no farther than this.
    """
    known = np.isfinite(values)
    ground, above = known & (sky < SKY), known & ~(sky < SKY)
    if ground.sum() <= _FEW or above.sum() <= _FEW:
        return values
    depth = float(np.quantile(values[ground].astype(np.float64), _QUANTILE))
    depth = depth if farthest is None else min(depth, farthest)
    return np.where(above, np.float32(depth), values)
