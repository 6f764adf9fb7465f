"""One setting of a recipe: its default and, for a number, the range it may lie in.

Outside its range a run fails late, or silently.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Bounds:
    """From `low` to `high`.

    Attributes:
        low, high: the ends.
        open_low, open_high: the end itself is outside.
        infinite: infinity is inside.
        ordered: of a pair of numbers, the first of which is not above the second.
        strict: of such a pair, the first is below the second.
    """

    low: int | float = 0
    high: int | float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False
    ordered: bool = False
    strict: bool = False

    def __contains__(self, value: object) -> bool:
        # Written so that nan is in none.
        if not isinstance(value, int | float) or (
            math.isinf(value) and not self.infinite
        ):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.open_low else 'at least'} {self.low:.10g}"
        if math.isinf(self.high):
            return low
        high = f"{'below' if self.open_high else 'at most'} {self.high:.10g}"
        return f"{low} and {high}"

    def check(self, key: str, value: Any) -> None:
        """Check a number, a pair or None, which stands for no number.

        Raises:
            ValueError: it is outside, or a pair is the wrong way round.
        """
        values = value if isinstance(value, tuple) else (value,)
        if any(v is not None and v not in self for v in values):
            shown = ",".join(map(str, values))
            each = "two numbers, each " if self.ordered else ""
            finite = " and finite" if math.inf in values else ""
            raise ValueError(f"{key}={shown} must be {each}{self}{finite}")
        least, greatest = (values[0], values[-1]) if self.ordered else (0, 1)
        if least > greatest or (self.strict and least == greatest):
            word = "below" if self.strict else "at most"
            raise ValueError(
                f"{key}={least},{greatest}: the first must be {word} the second"
            )


ABOVE_0 = Bounds(open_low=True)
TO_INFINITY = Bounds(open_low=True, infinite=True)
FROM_0, FROM_1 = Bounds(), Bounds(1)
SHARE = Bounds(0, 1)
BELOW_1 = Bounds(0, 1, open_high=True)


def setting(bound: Bounds, default: Any = dataclasses.MISSING) -> Any:
    """Declare a number among the fields of a dataclass."""
    return dataclasses.field(default=default, metadata={"range": bound})


def leaves(settings: Any) -> dict[str, Any]:
    """Return {"optimizer.learning_rate": 5e-6, ...} of every setting."""
    return {key: getattr(owner, field.name) for key, owner, field in _walk(settings)}


def ranges(settings: Any) -> dict[str, Bounds]:
    """Return the range of every number by the same keys."""
    return {
        key: field.metadata["range"]
        for key, _, field in _walk(settings)
        if "range" in field.metadata
    }


def check(settings: Any) -> None:
    """Check every number.

    Raises:
        ValueError: one is outside its range.
    """
    values = leaves(settings)
    for key, bound in ranges(settings).items():
        bound.check(key, values[key])


def _walk(
    settings: Any, prefix: str = ""
) -> Iterator[tuple[str, Any, dataclasses.Field]]:
    for field in dataclasses.fields(settings):
        child = getattr(settings, field.name)
        if dataclasses.is_dataclass(child):
            yield from _walk(child, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, settings, field
