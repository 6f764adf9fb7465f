"""What a run returns, and what it is evaluated on."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax_depth.data.dataset import Dataset
from jax_depth.formats.json_file import parse_own
from jax_depth.training.journal import LOG

# Metrics where more is better; for the others less is.
_GREATEST = ("d1", "d2", "d3")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Pictures with depth that a run is evaluated on and does not learn from.

    Attributes:
        dataset: of them.
        name: in the log, `held_out/NAME/abs_rel`; "" for `held_out/abs_rel`.
        every: steps between evaluations; 0 for `run.evaluate_every`.
    """

    dataset: Dataset
    name: str = ""
    every: int = 0

    @property
    def prefix(self) -> str:
        """What stands before its metrics."""
        return f"{self.name}/" if self.name else ""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is evaluated on.

    Attributes:
        datasets: to mix.
        weights: share of each, any positive scale; by size when None.
        held_out: for evaluation while training: one dataset, or several as `HeldOut`
            or by name, the first of which chooses the best model; None for none.
    """

    datasets: Sequence[Dataset]
    weights: Sequence[float] | None = None
    held_out: Dataset | Sequence[HeldOut] | Mapping[str, Dataset] | None = None

    def judges(self) -> list[HeldOut]:
        """Return every held-out set."""
        given = self.held_out
        if given is None:
            return []
        if isinstance(given, Dataset):
            return [HeldOut(given)]
        if isinstance(given, Mapping):
            return [HeldOut(dataset, name) for name, dataset in given.items()]
        return list(given)


class History(list[dict[str, Any]]):
    """The lines a run wrote to its log, in order, and how far it came.

    `history[-1]["loss"]`; on processes other than the first it holds none.

    Attributes:
        steps: done in all.
        interrupted: Ctrl-C ended it.
        early: it ended before the recipe's last step because `run.patience` ran out.
        abandoned: one of its threads is still compiling.
    """

    def __init__(self, lines: Sequence[dict[str, Any]] = (), steps: int = 0):
        super().__init__(lines)
        self.steps = steps
        self.interrupted = self.early = self.abandoned = False

    def values(self, name: str) -> dict[int, Any]:
        """Return step -> value of one name: "loss", "held_out/abs_rel"."""
        return {line["step"]: line[name] for line in self if name in line}


class Patience:
    """Early stopping: evaluations in a row that were not the best so far.

    Args:
        limit: of them; 0 for never.
        metric: see `run.best`.
    """

    def __init__(self, limit: int, metric: str):
        self._limit, self._greatest = limit, greatest(metric)
        self._best: float | None = None
        self._misses = 0

    def recall(self, workdir: Path, metric: str, last: int) -> None:
        """Take in what earlier processes logged of steps up to `last`."""
        found: dict[int, float] = {}
        if (workdir / LOG).exists():
            for line in (workdir / LOG).read_text(encoding="utf-8").splitlines():
                try:
                    entry = parse_own(line)
                except ValueError:  # cut short by a kill
                    continue
                if not isinstance(entry, dict) or f"held_out/{metric}" not in entry:
                    continue
                if entry["step"] <= last:
                    found[entry["step"]] = entry[f"held_out/{metric}"]
        for step in sorted(found):
            self.judge(found[step])

    def judge(self, value: float) -> None:
        """Take in an evaluation."""
        best = self._best
        if best is None or (value > best if self._greatest else value < best):
            self._best, self._misses = value, 0
        else:
            self._misses += 1

    @property
    def over(self) -> bool:
        """Whether the run should end."""
        return 0 < self._limit <= self._misses


def greatest(metric: str) -> bool:
    """Whether a metric is better when greater."""
    return metric.rpartition("/")[2] in _GREATEST
