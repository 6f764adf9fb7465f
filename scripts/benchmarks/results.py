"""Results of one contender and of one table: statistics, to and from JSON."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass
class Row:
    """One contender's results.

    Attributes:
        name: the contender.
        precision: "f32", "bf16" or "int8".
        seconds: one figure per round, of one call.
        pictures: per call.
        first_call: seconds of the first call, compilation included.
        ready: seconds from the start of its process to its first result.
        peak_bytes: greatest resident memory of its process.
        error: greatest |difference| from the reference's output, in standard
            deviations of that; 0 for the reference itself.
        flops: of one call, None where they are not counted.
        problem: why there are no figures; None if there are.
        cpu: processor seconds of all threads, one figure per round.
    """

    name: str
    precision: str = "f32"
    seconds: list[float] = dataclasses.field(default_factory=list)
    pictures: int = 1
    first_call: float | None = None
    ready: float | None = None
    peak_bytes: int | None = None
    error: float | None = None
    flops: float | None = None
    problem: str | None = None
    cpu: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self.seconds)

    def ratio(self, first: "Row") -> float:
        """Time divided by the first row's in the same round: the median over rounds."""
        return _ratio(self.seconds, first.seconds)

    def cpu_ratio(self, first: "Row") -> float | None:
        """The same for processor time; None where that was not measured."""
        return _ratio(self.cpu, first.cpu) if self.cpu and first.cpu else None

    def distance(self, ceilings: Mapping[str, float]) -> float | None:
        """How many times longer than with the machine's fastest products."""
        if self.flops is None or self.precision not in ceilings:
            return None
        return self.median * ceilings[self.precision] / self.flops


@dataclasses.dataclass
class Table:
    """One session: rows in the order of their turns, and how they were made.

    Attributes:
        title: heading of the table.
        command: that makes it again.
        rows: the contenders, including those without figures.
        date: of the measurement, ISO.
        machine: see `machine.describe`.
        versions: of the packages that took part.
        columns: "forward" or "job": which columns are shown.
        others: share of the processors that other programs used in the meantime; None
            where the system does not say.
    """

    title: str
    command: str
    rows: list[Row]
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    columns: str = "forward"
    others: float | None = None

    @property
    def timed(self) -> list[Row]:
        """Rows with figures."""
        return [row for row in self.rows if row.problem is None and row.seconds]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Table":
        """Return the table of `to_json`.

        Raises:
            TypeError, KeyError: it is no table.
        """
        values = dict(document)
        rows: Sequence[Mapping[str, Any]] = values.pop("rows")
        return cls(rows=[Row(**row) for row in rows], **values)


def _ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    pairs = zip(mine, theirs, strict=True)
    return statistics.median(one / other for one, other in pairs)
