"""What the values of a map span."""

import dataclasses

import numpy as np
from jaxtyping import Float

_PERCENTILES = (0, 2, 25, 50, 75, 98, 100)


@dataclasses.dataclass(frozen=True)
class Range:
    """Order statistics of a map's values.

    Attributes:
        minimum, p2, p25, median, p75, p98, maximum: the values in order, with
            percentiles interpolated as `np.percentile` does.
        deviation: mean |value - median|, by which the canonical form divides.
        zeros: share of values that are exactly 0, which a final ReLU cut off.
    """

    minimum: float
    p2: float
    p25: float
    median: float
    p75: float
    p98: float
    maximum: float
    deviation: float
    zeros: float


def range_of(values: Float[np.ndarray, "h w"]) -> Range:
    """Return the range of a map.

    Raises:
        ValueError: values are NaN or infinite; one sentence counts them.
    """
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise ValueError(f"the map holds {bad} values that are NaN or infinite")
    d = values.astype(np.float64)
    low, p2, p25, median, p75, p98, high = map(float, np.percentile(d, _PERCENTILES))
    deviation = float(np.mean(np.abs(d - median)))
    zeros = float(np.mean(d == 0))
    return Range(low, p2, p25, median, p75, p98, high, deviation, zeros)


def typical(ranges: list[Range]) -> Range:
    """Return the median over pictures of every statistic.

    Args:
        ranges: of one model, at least one.
    """
    names = [field.name for field in dataclasses.fields(Range)]
    return Range(
        **{name: float(np.median([getattr(r, name) for r in ranges])) for name in names}
    )
